"""What somebody said in a mail, and what is hidden of it."""

from __future__ import annotations

import html as python_html
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail.html import to_text
from countersign.mail.markup import encodable
from countersign.mail.model import Mail
from countersign.mail.said import Said, said
from tests.unit.timing import seconds

N, A = "Ana García-Lönn", "ana.garcia@example.com"
ANSWER = "Yes, please send the blue one.\n\nIt must be here by Friday."
QUOTE = "Which colour do you want?\n\nYour team"
MARKED = "> Which colour do you want?\n>\n> Your team"

FOLDER = Path(__file__).parent / "said"
CLIENTS = sorted((FOLDER / "clients").glob("*.html"))


def read(name: str) -> list[str]:
    """The lines of a file, with the name and address of who is quoted."""
    text = (FOLDER / name).read_text()
    return text.replace("NAME", N).replace("ADDRESS", A).splitlines()


ATTRIBUTIONS = read("attributions.txt")
LABELS = [tuple(line.split(" | ")) for line in read("labels.txt")]
DIVIDERS, FORWARDS, SENT_FROM = map(read, ("dividers.txt", "forwards.txt", "sent_from.txt"))


def of_text(text: str, subject: str = "", is_reply: bool = True) -> Said:
    references = ("first@example.com",) if is_reply else ()
    return said(Mail(text=text, subject=subject, references=references))


def of_html(html: str, subject: str = "") -> Said:
    return said(Mail(html=html, subject=subject, references=("first@example.com",)))


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_the_answer_above_a_quote_is_what_was_said(attribution: str) -> None:
    whole = f"{ANSWER}\n\n{attribution}\n{MARKED}\n"
    assert of_text(whole) == Said(ANSWER, f"{attribution}\n{MARKED}", None, False)


@pytest.mark.parametrize("attribution", ATTRIBUTIONS)
def test_a_quote_without_signs_follows_its_attribution_to_the_end(attribution: str) -> None:
    assert of_text(f"{ANSWER}\n\n{attribution}\n\n{QUOTE}\n").text == ANSWER


@pytest.mark.parametrize("width", [40, 60, 72])
@pytest.mark.parametrize("attribution", [a for a in ATTRIBUTIONS if re.search(r"\d", a[:30])])
def test_an_attribution_may_be_folded(attribution: str, width: int) -> None:
    folded = textwrap.wrap(attribution, width, break_long_words=False, break_on_hyphens=False)
    head = "\n".join(folded)
    assert of_text(f"{ANSWER}\n\n{head}\n{MARKED}").text == ANSWER


def test_a_folded_address_leaves_no_sign_of_a_quote_behind() -> None:
    head = f"On Wed, Dec 9, 2015 at 1:02 PM {N} <{A}\n> wrote:"
    assert of_text(f"{ANSWER}\n\n{head}\n\n{MARKED}").text == ANSWER


def test_marks_of_direction_hide_no_attribution() -> None:
    head = f"\u200eOn 9 Dec 2015, at 13:02, \u202a{N}\u202c <{A}> wrote:"
    assert of_text(f"{ANSWER}\n\n{head}\n\n{QUOTE}").text == ANSWER


def test_an_answer_that_begins_as_an_attribution_stays() -> None:
    own = "On Monday I called at 13:02 and nobody came."
    assert of_text(f"{own}\nOn 9 Dec 2015, at 13:02, {N} <{A}> wrote:\n{MARKED}").text == own


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("form", ["{}: ", "*{}:* ", "{} : ", "> {}: "])
def test_headers_of_the_quoted_mail_end_what_was_said(labels: tuple[str, ...], form: str) -> None:
    values = (f"{N} <{A}>", "2015-12-09 13:02", "shop@example.com", "Your order")
    block = "\n".join(form.format(a) + b for a, b in zip(labels, values, strict=True))
    quote = textwrap.indent(QUOTE, "> ") if form.startswith(">") else QUOTE
    assert of_text(f"{ANSWER}\n\n{'_' * 32}\n{block}\n\n{quote}").text == ANSWER


def test_headers_may_have_folded_values() -> None:
    block = f"From: {N}\n<{A}>\nSent: Wednesday\nTo: a@example.com;\n b@example.com\nSubject: Order"
    assert of_text(f"{ANSWER}\n\n{block}\n\n{QUOTE}").text == ANSWER


@pytest.mark.parametrize("divider", DIVIDERS)
def test_a_divider_ends_what_was_said(divider: str) -> None:
    assert of_text(f"{ANSWER}\n\n{divider}\n{QUOTE}").text == ANSWER


@pytest.mark.parametrize("line", SENT_FROM)
def test_what_a_phone_adds_is_hidden(line: str) -> None:
    assert of_text(f"{ANSWER}\n\n{line}\n") == Said(ANSWER, line, None, False)
    assert of_text(f"{ANSWER}\n\n{line}\n\n{ATTRIBUTIONS[0]}\n{MARKED}").text == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        "Sent from my desk, is much easier than my mobile phone.",
        "The notification was sent from my iPhone app to all users.",
        "On the one hand it fits: on the other it wrote nothing.",
        "On Monday she wrote:\nthe parcel is lost.",
        "On May 3, 2024 your colleague wrote:\nwe refund you.\nBut no money came.",
        "Am 3.5.2024 schrieb mir Ihr Kollege folgendes:\nWir erstatten.\nBis heute kam nichts.",
        "Am 3.5.2024 um 13:02 Uhr schrieb ich Ihnen:\nDie Pumpe ist defekt.\nWas nun?",
        "On 3 May 2024 at 13:02 I wrote:\nthe pump is broken.\nWhat now?",
        "Le 3 mai 2024 à 13:02 votre collègue a écrit :\nnous remboursons.\nEt alors ?",
        "El 3 de mayo de 2024 a las 13:02 su colega me escribió:\nse lo devolvemos.\n¿Y?",
        "I travel as follows:\nFrom: London\nTo: Paris\nDate: 12 May 2024\nCan I book a seat?",
        "The label says\nFrom: Lyon\nTo: Bern\nis that right?",
        "Here is my list:\n-- one\n-- two\n\nThanks!",
        "First part.\n\n----\n\nSecond part.\n\n====\n\nThird part.",
        "First part.\n\n____\n\nSecond\npart\nhas\nso\nmany\nlines\nthat it is one.",
        "First part.\n\n--\n\nCan you also send the invoice?",
        "Regards the order:\nAna\nCan you call +49 30 1234567?",
        "Here's code:\n```\nsignature = '--\\nJohn'\n```\nDoes it work?",
        "The 2024-01-15 14:30:25 entry and 15.01.2024 14:30: both are wrong.",
        "We wrote: nothing.\n\nThey wrote:\n\nnothing either.",
        "This e-mail is confidential.",
        "Order: 12\nDate: 3 May\nSubject: chairs\nPlease cancel.",
        "12:30, 3 May 2024, Ana:\nthe pump broke.",
        "> 5 items are in the box, I ordered 6.",
        "Is it\n>= 5 or\n<= 5?",
    ],
)
def test_nothing_of_a_mail_without_a_quote_is_hidden(text: str) -> None:
    for is_reply in (True, False):
        assert of_text(text, is_reply=is_reply) == Said(text, None, None, False) or (
            text.startswith(">") and of_text(text, is_reply=is_reply).text == text
        )


def test_answers_between_quoted_lines_stay_with_what_they_answer() -> None:
    text = (
        f"Hello,\n\n{ATTRIBUTIONS[0]}\n> Which colour?\n\nBlue.\n\n> How many?\n> Two?\n\nThree."
        "\n\n> Regards\n> Your team"
    )
    got = of_text(text)
    assert got.text == "Hello,\n\n> Which colour?\n\nBlue.\n\n> How many?\n> Two?\n\nThree."
    assert got.quoted == f"{ATTRIBUTIONS[0]}\n> Regards\n> Your team"
    assert got.may_have_cut


def test_of_a_long_quote_that_is_answered_its_end_stays() -> None:
    quote = "\n".join(f"> line {number}" for number in range(100))
    got = of_text(f"Hello\n\n{quote}\n\nBlue.\n\n> more\n\nThree.")
    assert got.text.startswith("Hello\n\n> line 85\n") or "> line 99\n\nBlue." in got.text
    assert "> line 80\n" not in got.text
    assert got.text.endswith("Blue.\n\n> more\n\nThree.")


def test_an_answer_below_all_that_it_answers_stands_alone() -> None:
    got = of_text(f"{ATTRIBUTIONS[0]}\n\n{MARKED}\n\n{ANSWER}")
    assert (got.text, got.may_have_cut) == (ANSWER, True)


def test_a_quote_without_attribution_above_an_answer_stays() -> None:
    text = f"{MARKED}\n\n{ANSWER}"
    got = of_text(text)
    assert (got.text, got.may_have_cut) == (text, True)


def test_a_quoted_line_that_was_folded_is_no_answer() -> None:
    long = "> We would like to know which colour you prefer for the chairs and whether the"
    text = f"{ANSWER}\n\n{ATTRIBUTIONS[0]}\n{long}\ntable is to match.\n> Your team"
    assert of_text(text).text == ANSWER
    answered = f"{ATTRIBUTIONS[0]}\n> Which colour do you want?\nblue\n> How many?\nthree"
    assert {"blue", "three"} <= set(of_text(answered).text.split("\n"))


def test_whoever_cites_themselves_keeps_the_citation() -> None:
    text = "Your page says:\n> free shipping\n> in Europe"
    assert of_text(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        f"{ATTRIBUTIONS[0]}\n{MARKED}",
        f"> {ATTRIBUTIONS[0]}\n>\n{MARKED}",
        f"From: {N} <{A}>\nSent: Monday\nSubject: Order\n\n{QUOTE}",
    ],
)
def test_of_a_mail_that_only_quotes_nothing_was_said(text: str) -> None:
    assert of_text(text) == Said("", text, None, True)


@pytest.mark.parametrize("text", ["", " \n\n", "\u00a0"])
def test_of_an_empty_mail_nothing_was_cut(text: str) -> None:
    got = of_text(text)
    assert (got.text.strip(), got.may_have_cut) == ("", False)
    assert said(Mail()) == Said("", None, None, False)


def test_a_form_that_looks_like_a_quote_is_content_unless_it_answers() -> None:
    form = f"From: {N} <{A}>\nDate: 3 May 2024\nSubject: Broken\n\nThe pump leaks."
    assert of_text(form, is_reply=False).text == form
    asked = f"I got this:\n\n{form}\n\nIs it from you?"
    for is_reply in (True, False):
        got = of_text(asked, is_reply=is_reply)
        assert (got.text, got.may_have_cut) == (asked, True)
    below = f"Is this from you?\n\n{form}"
    assert of_text(below, is_reply=False).text == below
    assert of_text(below, is_reply=True).text == "Is this from you?"
    assert of_text(below, subject="AW: Broken", is_reply=False).text == "Is this from you?"


@pytest.mark.parametrize("divider", FORWARDS)
@pytest.mark.parametrize("sign", ["", "> "])
def test_what_is_passed_on_is_content(divider: str, sign: str) -> None:
    passed = (
        f"{divider}\n\nFrom: {N} <{A}>\nDate: Monday\nSubject: Broken\n\nThe pump leaks.\n-- \nAna"
    )
    text = f"Please help her.\n\n{textwrap.indent(passed, sign, lambda line: True)}".rstrip()
    got = of_text(text, subject="Fwd: Broken")
    assert (got.quoted, got.may_have_cut) == (None, False)
    assert "The pump leaks." in got.text


@pytest.mark.parametrize(
    "subject", ["FW: Broken", "WG: Broken", "TR : Broken", "RV: Broken", "转发：x"]
)
def test_what_outlook_passes_on_is_told_by_its_subject(subject: str) -> None:
    block = f"{'_' * 32}\nFrom: {N} <{A}>\nSent: Monday\nSubject: Broken"
    text = f"Please help her.\n\n{block}\n\nIt leaks."
    assert of_text(text, subject=subject).text == text
    assert of_text(text, subject="RE: Broken").text == "Please help her."


def test_a_forwarded_mail_inside_a_quote_is_quoted() -> None:
    quote = "> See:\n> ---------- Forwarded message ---------\n> From: x"
    assert of_text(f"{ANSWER}\n\n{ATTRIBUTIONS[0]}\n{quote}").text == ANSWER


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nAna García\nExample Ltd.",
        "--\nAna García\n+49 30 1234567",
        "_____________________\nAna García\nTel. +49 30 1234567",
        "—\nAna\nexample.com",
        "-- \nAna\n\nSent from my iPhone",
        "The information in this e-mail is confidential and intended solely for the addressee. "
        "If you have received it in error please delete it and notify the sender.",
        "Diese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht gemeint sind oder diese "
        "E-Mail irrtümlich erhalten haben, informieren Sie bitte den Absender.",
        "-- \nAna García\nPS Brakes Ltd.",
        "CONFIDENTIALITY NOTICE: this message is for its addressee only and may be privileged; "
        "delete it if not.",
        "Sent from my iPhone\n\nCONFIDENTIALITY NOTICE: this message is for its addressee only and "
        "may be privileged; delete it if not.",
    ],
)
def test_a_signature_or_disclaimer_is_hidden(signature: str) -> None:
    assert of_text(f"{ANSWER}\n\n{signature}") == Said(ANSWER, signature, None, False)
    assert of_text(f"{ANSWER}\n\n{signature}\n\n{ATTRIBUTIONS[0]}\n{MARKED}").text == ANSWER


def test_a_closing_and_a_name_are_words_of_the_person() -> None:
    closing = "Viele Grüße\nAna García"
    got = of_text(
        f"{ANSWER}\n\n{closing}\nExample GmbH, Berlin\nTel. +49 30 1234567\nwww.example.com"
    )
    assert got.text == f"{ANSWER}\n\n{closing}"
    assert of_text(f"{ANSWER}\n\n{closing}").text == f"{ANSWER}\n\n{closing}"
    question = f"{ANSWER}\n\n{closing}\nCan you call +49 30 1234567?"
    assert of_text(question).text == question


@pytest.mark.parametrize("mark", ["PS:", "P.S.", "p.s.:", "P. S.", "PPS:"])
def test_what_was_added_below_the_signature_stays(mark: str) -> None:
    text = f"{ANSWER}\n\n-- \nAna García\n\n{mark} Send the receipt, too."
    assert of_text(text) == Said(text.replace("-- ", "--"), None, None, False)


def test_a_signature_alone_was_said() -> None:
    assert of_text("--\nAna García").text == "--\nAna García"
    assert of_text("Sent from my iPhone") == Said("", "Sent from my iPhone", None, True)


def test_a_warning_that_a_server_put_on_top_is_hidden() -> None:
    banner = "CAUTION: This email originated from outside of the organization. Do not click links."
    assert of_text(f"{banner}\n\n{ANSWER}") == Said(ANSWER, banner, None, False)


@pytest.mark.parametrize(
    "hint", ["See my answers below.", "My comments are in red.", "Antworten siehe unten."]
)
def test_answers_that_may_be_in_an_unmarked_quote_are_hinted_at(hint: str) -> None:
    block = f"From: {N} <{A}>\nSent: Monday\nTo: x@example.com\nSubject: Order"
    assert of_text(f"{hint}\n\n{block}\n\n{QUOTE}").may_have_cut
    assert not of_text(f"{ANSWER}\n\n{block}\n\n{QUOTE}").may_have_cut


def client(file: Path, head: str = ATTRIBUTIONS[0], quote: str = "Which colour?") -> str:
    """An answer "Blue, please." as a mail program writes it above a quote."""
    html = file.read_text().replace("HEAD", python_html.escape(head))
    return html.replace("QUOTE", f"<p>{quote}</p><p>Your team</p>")


@pytest.mark.parametrize("file", CLIENTS, ids=lambda file: file.stem)
def test_what_mail_programs_mark_as_quote_is_hidden(file: Path) -> None:
    got = of_html(client(file))
    assert got.text == "Blue, please."
    assert got.quoted is not None
    assert "Which colour?" in got.quoted


def test_a_mark_counts_in_languages_that_nobody_knows() -> None:
    gmail = client(FOLDER / "clients/gmail.html", "Ar 9 Rhag 2015 ysgrifennodd Ana:")
    assert of_html(gmail).text == "Blue, please."


def test_answers_between_blockquotes_stay() -> None:
    html = (
        "Blue, please.<div class=gmail_quote><div class=gmail_attr>On Monday Ana wrote:</div>"
        "<blockquote class=gmail_quote>Which colour?</blockquote><div>Blue.</div>"
        "<blockquote>How many?</blockquote>Two.</div>"
    )
    got = of_html(html)
    assert got.text == "Blue, please.\n\n> Which colour?\n\nBlue.\n\n> How many?\n\nTwo."
    assert got.may_have_cut


def test_what_was_written_into_an_attribution_stays() -> None:
    html = (
        '<div class="moz-cite-prefix">Hello Ana,<br><br>blue, please.<br><br>'
        "On 9/12/2015 13:02, Ana wrote:<br></div><blockquote type=cite>Which colour?</blockquote>"
    )
    assert of_html(html).text == "Hello Ana,\n\nblue, please."


def test_what_gmail_passes_on_is_content() -> None:
    html = (
        'Please help.<div class="gmail_quote"><div class="gmail_attr">'
        "---------- Forwarded message ---------<br>From: Ana<br></div>The pump leaks.</div>"
    )
    assert "The pump leaks." in of_html(html, subject="Fwd: Broken").text


def test_what_outlook_web_passes_on_is_content() -> None:
    html = "<div>Please help.</div><div id=divRplyFwdMsg>From: Ana</div><div>The pump leaks.</div>"
    assert "The pump leaks." in of_html(html, subject="FW: Broken").text


def test_a_signature_that_a_mail_program_marks_is_hidden() -> None:
    got = of_html("<div>Blue.</div><div class=gmail_signature>Ana<br>Example Ltd.</div>")
    assert (got.text, got.quoted) == ("Blue.", "Ana\nExample Ltd.")


def test_the_plain_body_is_read_unless_it_is_a_stub() -> None:
    html = "<p>Blue, please. The pump leaks, and the seal that you sent does not fit it.</p>" * 2
    plain = "Blue, please. The pump leaks, and the seal\nthat you sent does not fit it.\n" * 2
    assert said(Mail(text=plain, html=html)).text == plain.strip()
    assert said(Mail(text="", html="<p>👍</p>")).text == "👍"
    for stub in ("", " \n", "Your client shows no HTML."):
        assert said(Mail(text=stub, html=html)).text.startswith("Blue, please. The pump")


def test_the_whole_html_is_there_to_show() -> None:
    got = of_html(client(CLIENTS[0], quote="<script>x</script>Which colour?"))
    assert got.html is not None
    assert "Which colour?" in got.html
    assert "script" not in got.html


WORDS = re.compile(r"[^\W\d_]+")
LINES = [
    *("", "> cited", ">> cited twice", "-- ", "--", "own words", "Thanks,", "Ana", "own question?"),
    *("> ", "____", "\u00a0", "From: Ana <a@b.c>", "Sent: Monday", "To: x@b.c", "Subject: Order"),
    *(
        "CAUTION: outside",
        "On Wed, Dec 9, 2015 at 1:02 PM Ana <",
        "a@b.c> wrote:",
        "tel. +49 30 12",
    ),
    *(ATTRIBUTIONS[0], ATTRIBUTIONS[9], DIVIDERS[0], FORWARDS[0], SENT_FROM[0]),
]


@given(
    st.lists(st.sampled_from(LINES), max_size=25), st.booleans(), st.sampled_from(["", "Fwd: x"])
)
@settings(max_examples=300)
def test_each_line_is_shown_or_hidden_once(lines: list[str], is_reply: bool, subject: str) -> None:
    got = of_text("\n".join(lines), subject, is_reply)
    parts = [*got.text.split("\n"), *(got.quoted or "").split("\n")]
    kept = sorted(part.strip() for part in parts if part.strip())
    assert kept == sorted(line.strip() for line in lines if line.strip())
    if not got.text and got.quoted:
        assert got.may_have_cut


@given(
    st.lists(st.sampled_from(["own words", "own question?", "", "Ana", "12 May 2024:"]), max_size=9)
)
@settings(max_examples=100)
def test_nothing_above_the_first_sign_of_a_quote_is_lost(own: list[str]) -> None:
    before = "\n".join([*own, "the last of them"])
    for behind in (f"{ATTRIBUTIONS[0]}\n{MARKED}", f"{DIVIDERS[0]}\n{QUOTE}", MARKED):
        assert of_text(f"{before}\n\n{behind}").text == re.sub(r"\n{4,}", "\n\n\n", before).strip(
            "\n"
        )


@given(st.text(max_size=300), st.text(st.sampled_from(list("<>/=\"' \nadiv>:@-_1")), max_size=80))
@settings(max_examples=200)
def test_nothing_raises_and_no_word_is_invented(text: str, html: str) -> None:
    got = said(Mail(text=text, references=("x",)))
    assert set(WORDS.findall(got.text)) <= set(WORDS.findall(encodable(text)))
    shown = said(Mail(html=html, references=("x",)))
    assert set(WORDS.findall(shown.text)) <= set(WORDS.findall(to_text(html)))


HOSTILE: dict[str, Callable[[int], str]] = {
    "beginnings": lambda n: "On Mon, Jan 1\n" * n,
    "attributions": lambda n: "On Mon, Jan 1, 2015 at 1:02 PM a@b.c wrote\n" * n,
    "colons": lambda n: "a1@b.c:\n" * n,
    "one long line": lambda n: "On word " * n,
    "one long attribution": lambda n: "On " + "1 " * n + "wrote:",
    "blanks": lambda n: " " * n + "x",
    "new lines": lambda n: "\n" * n + "x",
    "dashes": lambda n: "-" * n,
    "rules": lambda n: "_\n" * n,
    "delimiters": lambda n: "--\nx\n" * n,
    "quotes": lambda n: "> a\n" * n,
    "quotes and answers": lambda n: "> a\nb\n\n" * n,
    "signs": lambda n: ">" * n,
    "signs apart": lambda n: "> " * n + "\n",
    "headers": lambda n: "From: a\nSent: b\n" * n,
    "labels": lambda n: "From: a@b.c\n" * n,
    "sent from": lambda n: "Sent from my \n" * n,
    "sent from a phone": lambda n: "Sent from my iPhone\n" * n,
    "disclaimers": lambda n: "CAUTION: " + "confidential " * n,
    "paragraphs": lambda n: (
        "CONFIDENTIALITY NOTICE: privileged, intended only for its addressee" + "\n\nx" * n
    ),
    "regards": lambda n: "Regards\n" * n,
    "brackets": lambda n: "<" * n + "\n" + "(" * n,
    "addresses": lambda n: "<a@b " * n,
    "digits": lambda n: "1.2.3 12:30 " * n + ":",
    "returns": lambda n: "\r" * n,
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_time_grows_as_the_text_does(make: Callable[[int], str]) -> None:
    """Eight times as much takes some eight times as long; squared, it were 64 times."""
    small, large = seconds(of_text, make(2_500)), seconds(of_text, make(20_000))
    assert large < 0.05 or large < 24 * small
    assert large < 2.0


def test_lines_without_number_are_what_the_last_of_them_is() -> None:
    many = "x\n" * 25_000
    got = of_text(many)
    assert (got.text.count("x"), got.may_have_cut) == (25_000, True)
    assert of_text(f"{ANSWER}\n\n{ATTRIBUTIONS[0]}\n{many}").text == ANSWER


def test_headings_are_not_looked_for_without_end() -> None:
    many = "1: a@b.c\n" * 3_000
    text = f"{many}\n{ATTRIBUTIONS[0]}\n\n{QUOTE}"
    assert of_text(text).text == text
    assert of_text(text[len(many) // 2 :]).text == many[len(many) // 2 :].strip()
