"""Full text that tells codes and names from words, and an index of it that tenants can use.

A text's `search` column holds its words, stemmed by its language, with what each is as a weight:

A  of the heading
B  of the body, written as a name: with a capital letter inside a sentence
C  a code: a run with a digit in it, in lower case, without what separates its pieces
D  of the body

`AB-1234`, `AB1234` and `ab 1234` all have the code `ab1234`, whatever dash or blank it is.
PostgreSQL's own parser makes `ab` and `-1234` of the first and `ab1234` of the second.
"""

from __future__ import annotations

from alembic import op

from migrations.tenancy import TENANT

LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french",
    "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian",
    "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian", "spanish", "swedish",
    "tamil", "turkish", "yiddish",
)  # fmt: skip
"""What PostgreSQL 16 stems; a text of any other language is searched by its words as they are."""

_WITH_STOP_WORDS = (
    "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian",
    "norwegian", "portuguese", "russian", "spanish", "swedish", "turkish",
)  # fmt: skip
_GUESSED_BY = 1000
"""How many characters of a text tell its language."""
_SEPARATORS = "-_./:‒–−"
_BLANKS, _HYPHENS, _NOTHING = "—―™℠¹²³⁰⁴⁵⁶⁷⁸⁹", "‐‑", "\N{SOFT HYPHEN}\N{WORD JOINER}\ufeff"
"""What is read as a blank (a dash between words, and what is no part of the word that it follows),
as a hyphen, and not at all."""
_BROKEN = "\N{ZERO WIDTH SPACE}"
"""Parts words of a language without blanks, and no code."""
_TO = " " * len(_BLANKS) + "-" * len(_HYPHENS)
_MOST_CHARACTERS = 100_000
"""How much of a text is searched, and of its heading: less where it makes too many words."""


def create_functions() -> None:
    """Make what `search` columns are made of, and what questions are read by."""
    # In plpgsql where a plan takes longer to make than to run: it is kept for the session.
    # The body of search_codes: each run with a digit is a code (`whole`); so may be a run and its
    # neighbours, a blank or two apart, of which some are letters alone (`joined`; `opening` is the
    # first of them, unless capitals say that it is no ordinary word); and of a run, what lies
    # between separators (`piece`).
    # search_names has no lookbehind: that is read from the text's beginning for each match.
    op.execute(f"""
        CREATE FUNCTION search_language(language text) RETURNS regconfig
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN CASE WHEN language = ANY ('{{{",".join(LANGUAGES)}}}'::text[])
            THEN language::regconfig ELSE 'simple'::regconfig END;

        CREATE FUNCTION is_stop_word(language text, word text) RETURNS boolean
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN ts_lexize((language || '_stem')::regdictionary, word) = '{{}}';

        CREATE FUNCTION search_codes(words text)
        RETURNS TABLE (code text, kind text, opening text)
        LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        BEGIN
            RETURN QUERY WITH runs AS (
                SELECT place, part[1] AS written, lower(part[1]) AS run,
                       -- Over the end of a line, not over an empty one.
                       part[2] = ' ' OR part[2] ~
                           '^([ \\t]{{1,2}}|[ \\t]{{0,2}}\\r?\\n[ \\t]{{0,2}})$' AS joins,
                       translate(lower(part[1]), '{_SEPARATORS}', '') AS bare
                FROM regexp_matches(translate(words, '{_BROKEN}', ''),
                    '([[:alnum:]]+(?:[{_SEPARATORS}][[:alnum:]]+)*)'
                    '([^[:alnum:]]*)', 'g') WITH ORDINALITY AS matches (part, place)
                WHERE words ~ '[0-9]'
            ), short AS (
                SELECT *, bare ~ '[0-9]' AS has_digit, bare !~ '[0-9]' AS is_word,
                       length(bare) AS size, CASE WHEN bare !~ '[0-9]'
                           AND (length(bare) = 1 OR written <> upper(written)) THEN bare
                       END AS ordinary
                FROM runs WHERE length(bare) <= 40
            ), neighbours AS (
                SELECT *,
                       lead(place) OVER near = place + 1 AS has_next,
                       lead(bare) OVER near AS next, lead(has_digit) OVER near AS next_has_digit,
                       lead(joins) OVER near AS next_joins, lead(size) OVER near AS next_size,
                       lead(place, 2) OVER near = place + 2 AS has_third,
                       lead(bare, 2) OVER near AS third,
                       lead(has_digit, 2) OVER near AS third_has_digit,
                       lead(size, 2) OVER near AS third_size
                FROM short WINDOW near AS (ORDER BY place)
            )
            SELECT bare, 'whole', NULL::text FROM neighbours
            WHERE has_digit AND bare !~ '^([0-9]{{1,4}}|[0-9]{{1,2}}[[:alpha:]]{{1,3}})$'
            UNION
            SELECT bare || next, 'joined', ordinary FROM neighbours
            WHERE joins AND has_next AND (
                is_word AND size <= 8 AND next_has_digit AND (size <= 3 OR next_size >= 2)
                OR has_digit AND (next_has_digit OR size >= 3 AND next_size = 1)
            )
            UNION
            SELECT bare || next || third, 'joined', ordinary FROM neighbours
            WHERE joins AND next_joins AND has_third AND (
                is_word AND size <= 8 AND next_has_digit AND (third_has_digit OR third_size <= 2)
                OR has_digit AND next_has_digit AND third_has_digit
            )
            UNION
            SELECT piece, 'piece', NULL::text
            FROM neighbours, regexp_split_to_table(run, '[{_SEPARATORS}]') AS piece
            WHERE has_digit AND piece <> bare AND piece ~ '[0-9]';
        END $$;

        CREATE FUNCTION search_names(body text) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN (
            SELECT coalesce(string_agg(coalesce(found[1], found[2]), ' '), '')
            FROM regexp_matches(body, '[[:lower:],;]((?: [[:upper:]][[:alnum:]]+)+)|'
                '(\\m[[:alpha:]]*[[:lower:]][[:upper:]][[:alnum:]]*'
                '(?: [[:upper:]][[:alnum:]]+)*)', 'g') AS matches (found)
        );

        CREATE FUNCTION search_lexemes(stems regconfig, heading text, body text) RETURNS tsvector
        LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        BEGIN
            RETURN setweight(to_tsvector(stems, heading), 'A') || to_tsvector(stems, body)
                || setweight(to_tsvector(stems, public.search_names(body)), 'B')
                || coalesce((
                    SELECT string_agg(DISTINCT codes.code || '\\:1C', ' ')
                    FROM public.search_codes(heading || E'\n' || body) AS codes
                )::tsvector, '');
        END $$;

        -- What is read of a text or a question: one form of each character. PostgreSQL's parser
        -- looks from each piece of a run such as `a-b-c` to its end: no person writes one that is
        -- long, and it takes minutes. As retrieval/reading.py does.
        CREATE FUNCTION search_read(words text) RETURNS text
        LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        DECLARE
            read text DEFAULT left(words, {_MOST_CHARACTERS});
        BEGIN
            IF octet_length(read) > length(read) THEN
                read := left(normalize(
                    translate(read, '{_BLANKS}{_HYPHENS}{_NOTHING}', '{_TO}'), NFKC
                ), {_MOST_CHARACTERS});
            END IF;
            RETURN regexp_replace(read, '(\\S{{200,254}})[-._/@:]', '\\1 ', 'g');
        END $$;

        -- A tsvector holds a megabyte, and a text of codes makes many times its size of it. No text
        -- may fail its row, so of such a one the beginning is read. What catches an error is not
        -- for parallel workers.
        CREATE FUNCTION search_vector(language text, heading text, body text) RETURNS tsvector
        LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE
            stems regconfig DEFAULT public.search_language(language);
            most integer DEFAULT {_MOST_CHARACTERS};
            above text DEFAULT public.search_read(heading);
            words text DEFAULT public.search_read(body);
        BEGIN
            LOOP
                BEGIN
                    RETURN public.search_lexemes(stems, left(above, most), left(words, most));
                EXCEPTION WHEN program_limit_exceeded THEN
                    most := most / 2;
                END;
            END LOOP;
        END $$;

        -- What a question asks for: by each language its words, and codes, which have none. What is
        -- 'joined' counts only where some text has it; a stop word and a number are no code, unless
        -- it is a letter and a longer number.
        CREATE FUNCTION search_terms(languages text[], words text)
        RETURNS TABLE (language text, lexeme text, kind text)
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        BEGIN ATOMIC
            -- Each has a name: a dump would name some, and no two dumps were alike.
            SELECT asked AS language, stemmed.lexeme AS lexeme, 'word'::text AS kind
            FROM unnest(languages) AS asked,
                 unnest(to_tsvector(search_language(asked), search_read(words))) AS stemmed
            UNION
            SELECT NULL::text AS language, code AS lexeme, kind
            FROM search_codes(search_read(words))
            WHERE kind = 'whole' OR kind = 'joined' AND NOT EXISTS (
                SELECT FROM unnest(languages) AS asked
                WHERE (length(opening) > 1 OR length(code) < 4)
                    AND to_tsvector(search_language(asked), opening) = ''
            );
        END;

        -- What a text is written in: the language most of whose stop words it has, at least two and
        -- one of ten words; else `otherwise`. Of other languages PostgreSQL knows no stop words.
        CREATE FUNCTION search_guess(words text, otherwise text) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        BEGIN ATOMIC
            SELECT coalesce((
                SELECT known.language
                FROM unnest('{{{",".join(_WITH_STOP_WORDS)}}}'::text[]) AS known (language),
                     regexp_split_to_table(
                         search_read(left(words, {_GUESSED_BY})), '[^[:alpha:]]+'
                     ) AS word
                WHERE word <> ''
                GROUP BY known.language
                HAVING count(*) FILTER (WHERE is_stop_word(known.language, word)) >= 2
                    AND count(*) FILTER (WHERE is_stop_word(known.language, word)) * 10 >= count(*)
                ORDER BY count(*) FILTER (WHERE is_stop_word(known.language, word)) DESC,
                         known.language = otherwise DESC, known.language
                LIMIT 1
            ), otherwise) AS guessed;
        END;

        -- `places` are weights; a text that has a lexeme with others alone is not matched.
        CREATE FUNCTION search_any(lexemes text[], places text DEFAULT '') RETURNS tsquery
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN (
            SELECT string_agg(
                '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''')
                || ''':' || places, ' | '
            )::tsquery
            FROM unnest(lexemes) AS lexeme
        );
    """)


def index(table: str) -> None:
    """Index the `search` column of `table`, and make the functions by which a tenant uses it.

    The match of a tsvector is not leakproof, so under row-level security no index serves it; as
    `app_owner`, whose policy is open, it does. They read the session's own tenant and no other.
    Bitmap scans alone are left to choose from: a LIMIT tempts the planner to read all of a tenant.
    """
    # "Who asks" reads the setting itself, so that nobody can ask for another's.
    mine = f"organization_id = {TENANT}"
    limits = """
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
        SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off
    """
    op.execute(f"""
        CREATE INDEX ix_{table}_search ON {table} USING gin (organization_id, search);

        CREATE FUNCTION {table}_frequencies(lexemes text[], most integer)
        RETURNS TABLE (lexeme text, texts bigint) {limits} AS $$
            SELECT asked, (SELECT count(*) FROM (
                SELECT FROM public.{table}
                WHERE {mine} AND search @@ public.search_any(ARRAY[asked])
                LIMIT most
            ) AS counted)
            FROM unnest(lexemes) AS asked
        $$;

        CREATE FUNCTION {table}_with_any(lexemes text[]) RETURNS TABLE (id uuid) {limits} AS $$
            SELECT id FROM public.{table} WHERE {mine} AND search @@ public.search_any(lexemes)
        $$;
    """)
    for function in (f"{table}_frequencies", f"{table}_with_any"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO app_rw")


def drop(table: str) -> None:
    """Undo `index`, before the table goes."""
    op.execute(f"DROP FUNCTION {table}_with_any, {table}_frequencies")


def drop_functions() -> None:
    """Undo `create_functions`."""
    op.execute("""
        DROP FUNCTION search_any, search_guess, search_terms, search_vector, search_read,
            search_lexemes, search_names, search_codes, is_stop_word, search_language
    """)
