"""The lexical arm: codes and names told from words, evidence by rarity, an index that is used."""

from __future__ import annotations

import unicodedata
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from countersign.knowledge.passages import CHUNKS
from countersign.retrieval import highlights, words
from countersign.retrieval.corpus import NOTHING, Filter
from countersign.retrieval.highlights import Marked
from countersign.retrieval.reading import read
from countersign.retrieval.words import Term
from tests import world
from tests.conftest import TestDatabase
from tests.db.test_plans import fill
from tests.world import Tenant


@pytest.fixture
def tenant(database: TestDatabase) -> Tenant:
    return world.add_tenant(database)


def found(
    database: TestDatabase,
    tenant: Tenant,
    question: str,
    *languages: str,
    where: Filter = NOTHING,
) -> list[str]:
    """The texts that words alone find, best first."""
    with database.app_rw.tenant(tenant.organization_id) as session:
        asked = words.terms(session, CHUNKS, question, languages or ["english"])
        hits = words.worded(session, CHUNKS, asked, 10, where)
        texts: dict[Any, str] = dict(session.execute(text("SELECT id, text FROM chunks")).all())
        return [texts[hit.id] for hit in hits]


def asked(database: TestDatabase, tenant: Tenant, question: str) -> dict[str, Term]:
    with database.app_rw.tenant(tenant.organization_id) as session:
        return {term.lexeme: term for term in words.terms(session, CHUNKS, question, ["english"])}


@pytest.mark.parametrize("written", ["AB-1234", "AB1234", "AB 1234", "ab_1234", "Ab–1234"])
@pytest.mark.parametrize("question", ["AB-1234", "ab1234", "ab 1234", "is ab 1234 in stock?"])
def test_a_code_is_found_however_it_is_written(
    database: TestDatabase, tenant: Tenant, written: str, question: str
) -> None:
    right = f"Use {written} for the pump."
    decoys = ["Use AB-1235 for it.", "Use BA-1234 for it.", "Use AB-12344.", "Use A-1234."]
    world.add_knowledge(database, tenant, [*decoys, right])
    assert found(database, tenant, question)[0] == right
    assert "ab1234" in asked(database, tenant, question)


NO_BREAK, THIN, NARROW, WIDE, ZERO, SOFT = "\u00a0\u2009\u202f\u3000\u200b\u00ad"
WRITTEN = [
    *(f"AB{dash}1234" for dash in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d"),
    *(f"AB{blank}1234" for blank in (NO_BREAK, THIN, NARROW, WIDE, "  ", "\t", "\n", " \r\n ")),
    *(f"AB{nothing}1234" for nothing in (ZERO, SOFT, f"-{ZERO}", f"{SOFT}-")),
    "ＡＢ－１２３４",
    "AB-1234™",
    "AB-1234²",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_code_is_found_whatever_characters_part_it(
    database: TestDatabase, tenant: Tenant, written: str
) -> None:
    right = f"Use {written} for the 🏷 pump."
    world.add_knowledge(database, tenant, ["Use AB-1235 for it.", right])
    assert found(database, tenant, "AB-1234")[0] == right
    assert marked(database, [right], ["ab1234"]) == [[written.rstrip("™²")]]
    world.add_knowledge(database, tenant, ["I have AB-1234 here."], "other")
    assert "I have AB-1234 here." in found(database, tenant, f"is {written} there?")


@pytest.mark.parametrize(
    "apart", ["The XY-98765—it is red", "The XY-98765\n\n12 are red", "XY-98765 — a pump"]
)
def test_a_dash_or_an_empty_line_does_not_lengthen_a_code(
    database: TestDatabase, tenant: Tenant, apart: str
) -> None:
    world.add_knowledge(database, tenant, [apart])
    assert {term.lexeme for term in asked(database, tenant, apart).values() if term.is_code} == {
        "xy98765"
    }


def marked(database: TestDatabase, texts: list[str], lexemes: list[str]) -> list[list[str]]:
    """What of texts is highlighted."""
    with database.app_rw.tenant(UUID(int=0)) as session:
        spans = highlights.spans(session, [Marked("german", one, lexemes) for one in texts])
    return [[one[slice(*span)] for span in of] for one, of in zip(texts, spans, strict=True)]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKD"])
def test_words_are_found_in_whatever_form_they_are_written(
    database: TestDatabase, tenant: Tenant, form: Literal["NFC", "NFD", "NFKD"]
) -> None:
    written = [
        unicodedata.normalize(form, f"«🏷» Die {word}, ja!")
        for word in ("Kündigungsfrist", "con\ufb01guration", "Grö\u00adße", "한국어")
    ]
    world.add_knowledge(database, tenant, written)
    with database.connect() as owner:
        owner.execute("UPDATE chunks SET language = 'german'")
    for word, text_ in zip(
        ("Kündigungsfrist", "configuration", "Größe", "한국어"), written, strict=True
    ):
        for question in (word, unicodedata.normalize("NFD", word)):
            assert found(database, tenant, question, "german") == [text_]
        with database.app_rw.tenant(tenant.organization_id) as session:
            (term,) = words.terms(session, CHUNKS, word, ["german"])
        (highlighted,) = marked(database, [text_], [term.lexeme])
        assert highlighted == [text_.split()[2].rstrip(",")]


def test_a_trademark_is_no_part_of_its_name(database: TestDatabase, tenant: Tenant) -> None:
    world.add_knowledge(database, tenant, ["We sell the Velmora™ pump¹."])
    assert set(asked(database, tenant, "velmora pump")) == {"velmora", "pump"}
    assert all(term.texts for term in asked(database, tenant, "velmora pump").values())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text("aÄ1Ж漢\u0301ﬁ™²— -‐\u2212\u00ad\u200b\ufeffＡ１가각\u1100\u1161\u11a8ㄱㅏㄳﾡﾢｶﾞ½…"),
        max_size=9,
    )
)
@example(["a\u00ad\u0301"])
@example(["ㄱㅏㄳ"])
def test_texts_are_read_alike_by_the_database_and_by_us(
    database: TestDatabase, texts: list[str]
) -> None:
    long = "-".join(texts * 40)
    with database.connect() as owner:
        for text_ in (*texts, long):
            made = read(text_)
            assert owner.execute("SELECT search_read(%s)", [text_]).fetchone() == (made.text,)
            assert len(made.text) == len(made.starts) == len(made.ends)


@pytest.mark.parametrize("part", ["a-1-b-2-", "a_", "AB-1234 ", "- "])
def test_no_long_text_keeps_a_search_waiting_for_its_highlights(
    database: TestDatabase, tenant: Tenant, part: str
) -> None:
    long = (part * MOST)[:MOST]
    with database.app_rw.tenant(tenant.organization_id) as session:
        session.execute(text("SET LOCAL statement_timeout = '5s'"))
        highlights.spans(session, [Marked("english", long, ["ab1234", "pump"])])


LANGUAGES = {
    "german": "Wann kommt meine Bestellung an? Ich warte seit zwei Wochen auf die Lieferung.",
    "english": "When will my order be here? I have been waiting for it for two weeks.",
    "french": "Où est ma commande ? Je l'attends depuis deux semaines et je suis pressé.",
    "spanish": "¿Dónde está mi pedido? Lo espero desde hace dos semanas y no llega.",
    "italian": "Dove si trova il mio ordine? Lo aspetto da due settimane e non è arrivato.",
    "portuguese": "Onde está o meu pedido? Eu espero por ele há duas semanas e não chega.",
    "dutch": "Waar is mijn bestelling? Ik wacht al twee weken op de levering van het pakket.",
    "swedish": "Var är min beställning? Jag har väntat på den, och den kommer inte.",
    "danish": "Hvor er min ordre? Jeg har ventet på den i to uger, og den er ikke kommet.",
    "finnish": "Missä tilaukseni on? Olen odottanut sitä kaksi viikkoa, mutta se ei ole tullut.",
    "russian": "Где мой заказ? Я жду его уже две недели, но его нет.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_tells_its_language(database: TestDatabase, language: str) -> None:
    assert guessed(database, LANGUAGES[language]) == language


@pytest.mark.parametrize("words_", ["", "Danke!", "AB-1234", "ありがとう", "the of"])
def test_what_does_not_tell_is_taken_for_the_usual(database: TestDatabase, words_: str) -> None:
    assert guessed(database, words_) == ("english" if words_ == "the of" else "hungarian")


def guessed(database: TestDatabase, words_: str) -> str:
    with database.connect("app_rw") as connection:
        row = connection.execute("SELECT search_guess(%s, 'hungarian')", [words_]).fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize(
    ("words_", "codes"),
    [
        ("HR-AN6-90", {"hran690"}),
        ("hr an6 90", {"hran690", "an6"}),
        ("lun 4696 n please", {"lun4696n"}),
        ("order 123-4567890", {"1234567890", "order1234567890"}),
        ("0x1F3A", {"0x1f3a"}),
        ("I waited 2 weeks, since the 5th, for 30 of them in 2019", set()),
        ("a 3/8 hose, or 10 more", set()),
    ],
)
def test_what_is_a_code(
    database: TestDatabase, tenant: Tenant, words_: str, codes: set[str]
) -> None:
    world.add_knowledge(database, tenant, [f"About {words_}"])
    terms = asked(database, tenant, words_).values()
    assert {term.lexeme for term in terms if term.is_code} == codes


def test_what_no_text_has_takes_its_share(database: TestDatabase, tenant: Tenant) -> None:
    world.add_knowledge(database, tenant, ["The pump is red.", "The hose is blue."])
    with_code = asked(database, tenant, "pump XY-9876")
    assert with_code["xy9876"].share > 0.9
    assert set(asked(database, tenant, "pump xy 9876")) == {"pump", "xy", "9876"}


def test_a_rare_word_says_more_and_a_heading_says_it_louder(
    database: TestDatabase, tenant: Tenant
) -> None:
    texts = ["A pump.", "A pump, red.", "A pump, blue.", "A pump with a gasket.", "A valve."]
    world.add_knowledge(database, tenant, texts)
    assert found(database, tenant, "gasket or pump")[0] == texts[3]
    with database.connect() as owner:
        owner.execute("UPDATE chunks SET heading = 'Pumps' WHERE text = 'A pump, blue.'")
    assert found(database, tenant, "pumps")[0] == texts[2]


def test_a_name_counts_more_than_a_word(database: TestDatabase, tenant: Tenant) -> None:
    texts = ["We light the velmora.", "We sell the Velmora."]
    world.add_knowledge(database, tenant, texts)
    assert found(database, tenant, "velmora")[0] == texts[1]


@pytest.mark.parametrize(
    ("language", "written", "question"),
    [
        ("german", "Die Häuser sind rot.", "Haus"),
        ("french", "Les pompes fonctionnent.", "pompe"),
        ("simple", "Pumps here.", "pumps"),
        ("klingon", "Qapla' here.", "qapla"),
    ],
)
def test_words_are_stemmed_by_the_language_of_the_text(
    database: TestDatabase, tenant: Tenant, language: str, written: str, question: str
) -> None:
    world.add_knowledge(database, tenant, [written, "The houses and the pump."])
    with database.connect() as owner:
        owner.execute("UPDATE chunks SET language = %s WHERE text = %s", [language, written])
    assert found(database, tenant, question, language, "english")[0] == written
    assert found(database, tenant, question, language) == [written]


MOST = 100_000
PATIENT = settings(
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    # To shrink such texts takes longer than to read them.
    phases=[Phase.explicit, Phase.generate],
)


def fits(database: TestDatabase, heading: str, body: str) -> None:
    with database.connect() as owner:
        owner.execute("SET statement_timeout = '5s'")
        made = "SELECT search_vector('german', %s, %s) IS NOT NULL"
        assert owner.execute(made, [heading, body]).fetchone() == (True,)


@PATIENT
@given(
    first=st.sampled_from("aAаА漢한𐐀"),
    letters=st.integers(1, 5),
    digits=st.integers(1, 5),
    inside=st.sampled_from(["", " ", "-", "—"]),
    between=st.sampled_from(["", " ", "-", ". ", "—", ", "]),
)
@example(first="𐐀", letters=2, digits=3, inside="", between=" ")
@example(first="𐐀", letters=1, digits=1, inside="", between="-")
def test_no_text_of_codes_fails_its_row(
    database: TestDatabase, first: str, letters: int, digits: int, inside: str, between: str
) -> None:
    codes = (
        "".join(chr(ord(first) + number // 26**place % 26) for place in range(letters))
        + f"{inside}{number * 7919 % 10**digits}{between}"
        for number in range(MOST // (letters + digits))
    )
    text_ = "".join(codes)[:MOST]
    fits(database, "", text_)
    fits(database, text_, text_)


@PATIENT
@given(
    # Of each kind of character that search tells from others, and of each length in bytes.
    st.text("aZ0äЖ漢한𐐀\u0301\ufdfa _-/.,;:'\"\\\n\t—−\u00ad\u200b\u3000Ａ１", min_size=1)
)
@example(", Ab")
@example("aBc ")
@example("a-1-b-2-")
@example("a_")
def test_no_text_whatever_fails_its_row(database: TestDatabase, part: str) -> None:
    fits(database, part, (part * MOST)[:MOST])


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("We sell the Velmora pump.", "Velmora"),
        ("Ask for Velmora Prime, Ada or iPhone cases. The rest", "Velmora Prime Ada iPhone"),
        ("The end. Every sentence begins so! And A letter is none", ""),
    ],
)
def test_what_is_a_name(database: TestDatabase, body: str, names: str) -> None:
    with database.connect() as owner:
        row = owner.execute("SELECT search_names(%s)", [body]).fetchone()
    assert row is not None
    assert row[0].split() == names.split()


def test_a_filter_leaves_texts_out(database: TestDatabase, tenant: Tenant) -> None:
    world.add_knowledge(database, tenant, ["A red pump.", "A blue pump."])
    blue = Filter("t.text LIKE :like", {"like": "%blue%"})
    assert found(database, tenant, "pump", where=blue) == ["A blue pump."]


def test_a_question_of_common_words_alone_finds_nothing_by_words(
    database: TestDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_knowledge(database, tenant, ["A pump.", "A pump, red.", "A hose."])
    monkeypatch.setattr(words, "MOST_TEXTS", 1)
    assert found(database, tenant, "pump") == []
    assert found(database, tenant, "a red pump") == ["A pump, red."]


def test_what_the_functions_read_is_the_sessions_tenant(
    database: TestDatabase, tenant: Tenant
) -> None:
    other = world.add_tenant(database, "other")
    world.add_knowledge(database, tenant, ["A pump."])
    asking = text("SELECT count(*) FROM chunks_with_any('{pump}')")
    with database.app_rw.tenant(other.organization_id) as session:
        assert session.scalar(asking) == 0
    assert asked(database, other, "pump")["pump"].texts == 0
    with database.app_rw.system() as session:
        assert session.scalar(asking) == 0
    with database.app_rw.tenant(tenant.organization_id) as session:
        assert session.scalar(asking) == 1


@pytest.mark.parametrize("function", ["chunks_with_any", "chunks_frequencies"])
def test_words_are_found_by_their_index_under_row_level_security(
    database: TestDatabase, tenant: Tenant, function: str
) -> None:
    """Of what the function asks, as its owner, by the plan that it takes."""
    other = world.add_tenant(database, "other")
    for each in (tenant, other):
        world.add_knowledge(database, each, ["A pump."])
        rows = f"""
            (organization_id, id, document_id, version, chunk_index, start_offset, end_offset, text,
             hash)
            SELECT organization_id, gen_random_uuid(), id, 1, number, 0, 1,
                   'word ' || number % 500, ''
            FROM documents, generate_series(1, 5000) AS number
            WHERE organization_id = '{each.organization_id}'
        """
        fill(database, "chunks", rows)
    call = {
        "chunks_with_any": "SELECT * FROM chunks_with_any('{pump}')",
        "chunks_frequencies": "SELECT * FROM chunks_frequencies('{pump,word}', 10000)",
    }[function]
    with database.connect("app_rw") as connection:
        connection.execute(
            "SELECT set_config('app.organization_id', %s, false)", [str(tenant.organization_id)]
        )
        before = _scans(database)
        # Else it is told of a second later, or when the connection has ended.
        connection.execute("SELECT pg_stat_force_next_flush()")
        rows_ = connection.execute(call).fetchall()
    assert rows_
    after = _scans(database)
    assert after["ix_chunks_search"] > before["ix_chunks_search"]
    assert after["chunks_pkey"] == before["chunks_pkey"]
    assert after["chunks"] == before["chunks"]


def _scans(database: TestDatabase) -> dict[str, int]:
    """How often each index of the chunks, and the table from end to end, was read so far."""
    with database.connect() as owner:
        rows = owner.execute(
            "SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE relname = 'chunks'"
            " UNION ALL SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = 'chunks'"
        ).fetchall()
    return dict(rows)
