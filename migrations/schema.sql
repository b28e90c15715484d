-- What the revisions make of an empty database. Written by `make schema`.

CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

CREATE FUNCTION public.chunks_frequencies(lexemes text[], most integer) RETURNS TABLE(lexeme text, texts bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    AS $$
            SELECT asked, (SELECT count(*) FROM (
                SELECT FROM public.chunks
                WHERE organization_id = nullif(current_setting('app.organization_id', true), '')::uuid AND search @@ public.search_any(ARRAY[asked])
                LIMIT most
            ) AS counted)
            FROM unnest(lexemes) AS asked
        $$;

CREATE FUNCTION public.chunks_with_any(lexemes text[]) RETURNS TABLE(id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    AS $$
            SELECT id FROM public.chunks WHERE organization_id = nullif(current_setting('app.organization_id', true), '')::uuid AND search @@ public.search_any(lexemes)
        $$;

CREATE FUNCTION public.find_api_key(key_id uuid) RETURNS TABLE(organization_id uuid, user_id uuid, secret_hash bytea, scopes text[], expires_at timestamp with time zone, revoked_at timestamp with time zone, membership_ended_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT k.organization_id, k.user_id, k.secret_hash, k.scopes, k.expires_at,
                   k.revoked_at, m.ended_at
            FROM public.api_keys k
            LEFT JOIN public.organization_memberships m
                ON m.organization_id = k.organization_id AND m.user_id = k.user_id
            WHERE k.id = key_id
        $$;

CREATE FUNCTION public.find_mail_channels(addresses text[]) RETURNS TABLE(address text, organization_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT a.address, c.organization_id, c.id
            FROM unnest(addresses) AS a (address)
            JOIN public.channels c
                ON c.inbound_address = a.address::public.citext
                OR (c.type = 'email' AND lower(c.external_id) = lower(a.address))
        $$;

CREATE FUNCTION public.find_refreshes(moment timestamp with time zone) RETURNS TABLE(organization_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    AS $$
            SELECT o.id FROM public.organizations o
            WHERE EXISTS (
                SELECT FROM public.documents d
                WHERE d.organization_id = o.id AND d.next_refresh_at <= moment
                    AND d.deleted_at IS NULL
            )
        $$;

CREATE FUNCTION public.is_small(value jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN (octet_length((value)::text) <= 65536);

CREATE FUNCTION public.is_stop_word(language text, word text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (ts_lexize(((language || '_stem'::text))::regdictionary, word) = '{}'::text[]);

CREATE FUNCTION public.messages_frequencies(lexemes text[], most integer) RETURNS TABLE(lexeme text, texts bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    AS $$
            SELECT asked, (SELECT count(*) FROM (
                SELECT FROM public.messages
                WHERE organization_id = nullif(current_setting('app.organization_id', true), '')::uuid AND search @@ public.search_any(ARRAY[asked])
                LIMIT most
            ) AS counted)
            FROM unnest(lexemes) AS asked
        $$;

CREATE FUNCTION public.messages_with_any(lexemes text[]) RETURNS TABLE(id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'public', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_indexscan TO 'off'
    SET enable_indexonlyscan TO 'off'
    AS $$
            SELECT id FROM public.messages WHERE organization_id = nullif(current_setting('app.organization_id', true), '')::uuid AND search @@ public.search_any(lexemes)
        $$;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            RAISE EXCEPTION 'audit_events is append-only';
        END $$;

CREATE FUNCTION public.search_any(lexemes text[], places text DEFAULT ''::text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT (string_agg((((''''::text || replace(replace(lexeme.lexeme, '\'::text, '\\'::text), ''''::text, ''''''::text)) || ''':'::text) || search_any.places), ' | '::text))::tsquery AS string_agg FROM unnest(search_any.lexemes) lexeme(lexeme));

CREATE FUNCTION public.search_codes(words text) RETURNS TABLE(code text, kind text, opening text)
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $_$
        BEGIN
            RETURN QUERY WITH runs AS (
                SELECT place, part[1] AS written, lower(part[1]) AS run,
                       -- Over the end of a line, not over an empty one.
                       part[2] = ' ' OR part[2] ~
                           '^([ \t]{1,2}|[ \t]{0,2}\r?\n[ \t]{0,2})$' AS joins,
                       translate(lower(part[1]), '-_./:‒–−', '') AS bare
                FROM regexp_matches(translate(words, '​', ''),
                    '([[:alnum:]]+(?:[-_./:‒–−][[:alnum:]]+)*)'
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
            WHERE has_digit AND bare !~ '^([0-9]{1,4}|[0-9]{1,2}[[:alpha:]]{1,3})$'
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
            FROM neighbours, regexp_split_to_table(run, '[-_./:‒–−]') AS piece
            WHERE has_digit AND piece <> bare AND piece ~ '[0-9]';
        END $_$;

CREATE FUNCTION public.search_read(words text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
        DECLARE
            read text DEFAULT left(words, 100000);
        BEGIN
            IF octet_length(read) > length(read) THEN
                read := left(normalize(
                    translate(read, '—―™℠¹²³⁰⁴⁵⁶⁷⁸⁹‐‑­⁠﻿', '              --'), NFKC
                ), 100000);
            END IF;
            RETURN regexp_replace(read, '(\S{200,254})[-._/@:]', '\1 ', 'g');
        END $$;

CREATE FUNCTION public.search_guess(words text, otherwise text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT known.language
            FROM unnest('{danish,dutch,english,finnish,french,german,hungarian,italian,norwegian,portuguese,russian,spanish,swedish,turkish}'::text[]) known(language),
             regexp_split_to_table(public.search_read("left"(search_guess.words, 1000)), '[^[:alpha:]]+'::text) word(word)
           WHERE (word.word <> ''::text)
           GROUP BY known.language
          HAVING ((count(*) FILTER (WHERE public.is_stop_word(known.language, word.word)) >= 2) AND ((count(*) FILTER (WHERE public.is_stop_word(known.language, word.word)) * 10) >= count(*)))
           ORDER BY (count(*) FILTER (WHERE public.is_stop_word(known.language, word.word))) DESC, (known.language = search_guess.otherwise) DESC, known.language
          LIMIT 1), otherwise) AS guessed;
END;

CREATE FUNCTION public.search_language(language text) RETURNS regconfig
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN (language = ANY ('{arabic,armenian,basque,catalan,danish,dutch,english,finnish,french,german,greek,hindi,hungarian,indonesian,irish,italian,lithuanian,nepali,norwegian,portuguese,romanian,russian,serbian,spanish,swedish,tamil,turkish,yiddish}'::text[])) THEN (language)::regconfig ELSE 'simple'::regconfig END;

CREATE FUNCTION public.search_lexemes(stems regconfig, heading text, body text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
        BEGIN
            RETURN setweight(to_tsvector(stems, heading), 'A') || to_tsvector(stems, body)
                || setweight(to_tsvector(stems, public.search_names(body)), 'B')
                || coalesce((
                    SELECT string_agg(DISTINCT codes.code || ':1C', ' ')
                    FROM public.search_codes(heading || E'
' || body) AS codes
                )::tsvector, '');
        END $$;

CREATE FUNCTION public.search_names(body text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT COALESCE(string_agg(COALESCE(matches.found[1], matches.found[2]), ' '::text), ''::text) AS "coalesce" FROM regexp_matches(search_names.body, '[[:lower:],;]((?: [[:upper:]][[:alnum:]]+)+)|(\m[[:alpha:]]*[[:lower:]][[:upper:]][[:alnum:]]*(?: [[:upper:]][[:alnum:]]+)*)'::text, 'g'::text) matches(found));

CREATE FUNCTION public.search_terms(languages text[], words text) RETURNS TABLE(language text, lexeme text, kind text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT asked.asked AS language,
     stemmed.lexeme,
     'word'::text AS kind
    FROM unnest(search_terms.languages) asked(asked),
     LATERAL unnest(to_tsvector(public.search_language(asked.asked), public.search_read(search_terms.words))) stemmed(lexeme, positions, weights)
 UNION
  SELECT NULL::text AS language,
     search_codes.code AS lexeme,
     search_codes.kind
    FROM public.search_codes(public.search_read(search_terms.words)) search_codes(code, kind, opening)
   WHERE ((search_codes.kind = 'whole'::text) OR ((search_codes.kind = 'joined'::text) AND (NOT (EXISTS ( SELECT
            FROM unnest(search_terms.languages) asked(asked)
           WHERE (((length(search_codes.opening) > 1) OR (length(search_codes.code) < 4)) AND (to_tsvector(public.search_language(asked.asked), search_codes.opening) = ''::tsvector)))))));
END;

CREATE FUNCTION public.search_vector(language text, heading text, body text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE
    AS $$
        DECLARE
            stems regconfig DEFAULT public.search_language(language);
            most integer DEFAULT 100000;
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

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END $$;

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE public.api_keys (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT api_keys_secret_hash_check CHECK ((length(secret_hash) = 32)),
    CONSTRAINT ck_api_keys_approver_is_a_person CHECK (((user_id IS NOT NULL) OR (NOT ('drafts:approve'::text = ANY (scopes)))))
);

ALTER TABLE ONLY public.api_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE public.attachments (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    message_id uuid,
    uploaded_by uuid,
    file_name text NOT NULL,
    mime_type text NOT NULL,
    size_bytes integer,
    file_url text,
    part_index integer,
    content_id text,
    status text DEFAULT 'pending'::text NOT NULL,
    reason text,
    sha256 text,
    fence integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT attachments_size_bytes_check CHECK ((size_bytes >= 0)),
    CONSTRAINT ck_attachments_owner CHECK (((message_id IS NOT NULL) OR (uploaded_by IS NOT NULL))),
    CONSTRAINT ck_attachments_status CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.attachments FORCE ROW LEVEL SECURITY;

CREATE TABLE public.audit_checkpoints (
    organization_id uuid NOT NULL,
    day date NOT NULL,
    object_key text NOT NULL,
    streams integer NOT NULL,
    sha256 text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.audit_checkpoints FORCE ROW LEVEL SECURITY;

CREATE TABLE public.audit_events (
    organization_id uuid NOT NULL,
    stream_id uuid NOT NULL,
    seq integer NOT NULL,
    type text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    canonical_text text NOT NULL,
    hash text NOT NULL,
    CONSTRAINT audit_events_hash_check CHECK ((hash ~ '^[0-9a-f]{64}$'::text)),
    CONSTRAINT audit_events_seq_check CHECK ((seq >= 1))
);

ALTER TABLE ONLY public.audit_events FORCE ROW LEVEL SECURITY;

CREATE TABLE public.channels (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    provider text NOT NULL,
    external_id text NOT NULL,
    inbound_address public.citext,
    name text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT channels_metadata_check CHECK (public.is_small(metadata)),
    CONSTRAINT ck_channels_type CHECK ((type = ANY (ARRAY['email'::text, 'chat'::text, 'shopify'::text, 'slack'::text, 'whatsapp'::text, 'sms'::text, 'messenger'::text, 'instagram'::text, 'api'::text])))
);

ALTER TABLE ONLY public.channels FORCE ROW LEVEL SECURITY;

CREATE TABLE public.chunk_embeddings (
    organization_id uuid NOT NULL,
    embedding_space_id uuid NOT NULL,
    chunk_id uuid NOT NULL,
    embedding public.vector(1536) NOT NULL
);
ALTER TABLE ONLY public.chunk_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY public.chunk_embeddings FORCE ROW LEVEL SECURITY;

CREATE TABLE public.chunks (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    document_id uuid NOT NULL,
    version integer NOT NULL,
    chunk_index integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    heading text DEFAULT ''::text NOT NULL,
    text text NOT NULL,
    hash text NOT NULL,
    language text DEFAULT 'english'::text NOT NULL,
    search tsvector GENERATED ALWAYS AS (public.search_vector(language, heading, text)) STORED NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chunks_version_check CHECK ((version >= 1))
);

ALTER TABLE ONLY public.chunks FORCE ROW LEVEL SECURITY;

CREATE TABLE public.conversations (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    channel_id uuid NOT NULL,
    external_id text NOT NULL,
    kind text DEFAULT 'support'::text NOT NULL,
    status text DEFAULT 'open'::text NOT NULL,
    subject text,
    customer_address text NOT NULL,
    customer_email public.citext,
    customer_name text,
    person_id uuid,
    assignee_id uuid,
    snoozed_until timestamp with time zone,
    waiting_since timestamp with time zone,
    session_id text,
    session_context jsonb DEFAULT '{}'::jsonb NOT NULL,
    last_message_at timestamp with time zone,
    latest_message_id uuid,
    latest_inbound_message_id uuid,
    latest_inbound_at timestamp with time zone,
    whatsapp_id text,
    sms_id text,
    messenger_id text,
    instagram_id text,
    channel_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_conversations_kind CHECK ((kind = ANY (ARRAY['support'::text, 'campaign'::text, 'planning'::text, 'ad_hoc'::text]))),
    CONSTRAINT ck_conversations_status CHECK ((status = ANY (ARRAY['open'::text, 'closed'::text]))),
    CONSTRAINT conversations_channel_metadata_check CHECK (public.is_small(channel_metadata)),
    CONSTRAINT conversations_session_context_check CHECK (public.is_small(session_context))
);

ALTER TABLE ONLY public.conversations FORCE ROW LEVEL SECURITY;

CREATE TABLE public.crawl_pages (
    organization_id uuid NOT NULL,
    job_run_id uuid NOT NULL,
    url text NOT NULL,
    id uuid NOT NULL,
    kind text DEFAULT 'page'::text NOT NULL,
    depth integer DEFAULT 0 NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    document_id uuid,
    fetched_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_crawl_pages_kind CHECK ((kind = ANY (ARRAY['page'::text, 'sitemap'::text]))),
    CONSTRAINT ck_crawl_pages_status CHECK ((status = ANY (ARRAY['pending'::text, 'changed'::text, 'unchanged'::text, 'gone'::text, 'skipped'::text, 'failed'::text]))),
    CONSTRAINT crawl_pages_depth_check CHECK ((depth >= 0)),
    CONSTRAINT crawl_pages_url_check CHECK ((length(url) <= 2000))
);

ALTER TABLE ONLY public.crawl_pages FORCE ROW LEVEL SECURITY;

CREATE TABLE public.crawls (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    dataset_id uuid,
    source text NOT NULL,
    url text,
    site text NOT NULL,
    max_pages integer NOT NULL,
    max_depth integer NOT NULL,
    refresh_hours integer,
    language text DEFAULT 'english'::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    turn integer DEFAULT 0 NOT NULL,
    limits text[] DEFAULT '{}'::text[] NOT NULL,
    is_open boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_crawls_source CHECK ((source = ANY (ARRAY['page'::text, 'site'::text, 'sitemap'::text, 'refresh'::text]))),
    CONSTRAINT crawls_max_depth_check CHECK ((max_depth >= 0)),
    CONSTRAINT crawls_max_pages_check CHECK ((max_pages >= 1)),
    CONSTRAINT crawls_refresh_hours_check CHECK ((refresh_hours >= 1))
);

ALTER TABLE ONLY public.crawls FORCE ROW LEVEL SECURITY;

CREATE TABLE public.datasets (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    kind text DEFAULT 'documents'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_datasets_kind CHECK ((kind = ANY (ARRAY['documents'::text, 'faq'::text, 'analytics'::text])))
);

ALTER TABLE ONLY public.datasets FORCE ROW LEVEL SECURITY;

CREATE TABLE public.deliveries (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    channel_id uuid NOT NULL,
    conversation_id uuid,
    message_id uuid,
    status text DEFAULT 'queued'::text NOT NULL,
    sender text NOT NULL,
    recipient text NOT NULL,
    payload jsonb NOT NULL,
    not_before timestamp with time zone NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    may_have_arrived boolean DEFAULT false NOT NULL,
    stop_reason text,
    provider_message_id text,
    reason_code text,
    reason text,
    sent_at timestamp with time zone,
    delivered_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_deliveries_status CHECK ((status = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'delivered'::text, 'failed'::text, 'unknown'::text, 'cancelled'::text]))),
    CONSTRAINT deliveries_payload_check CHECK (public.is_small(payload))
);

ALTER TABLE ONLY public.deliveries FORCE ROW LEVEL SECURITY;

CREATE TABLE public.delivery_attempts (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number integer NOT NULL,
    outcome text,
    provider_message_id text,
    reason_code text,
    reason text,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT ck_delivery_attempts_outcome CHECK ((outcome = ANY (ARRAY['accepted'::text, 'refused'::text, 'throttled'::text, 'unreached'::text, 'unknown'::text])))
);

ALTER TABLE ONLY public.delivery_attempts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.document_versions (
    organization_id uuid NOT NULL,
    document_id uuid NOT NULL,
    version integer NOT NULL,
    title text NOT NULL,
    content_type text NOT NULL,
    content text NOT NULL,
    hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT document_versions_version_check CHECK ((version >= 1))
);

ALTER TABLE ONLY public.document_versions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.documents (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    title text NOT NULL,
    source_url text,
    content_type text DEFAULT 'text/markdown'::text NOT NULL,
    s3_key text,
    file_size bigint,
    upload jsonb,
    language text DEFAULT 'english'::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    hash text,
    version integer DEFAULT 0 NOT NULL,
    processing_status text DEFAULT 'pending'::text NOT NULL,
    reason text,
    job_run_id uuid,
    fence integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    indexed_at timestamp with time zone,
    next_refresh_at timestamp with time zone,
    etag text,
    last_modified text,
    gone_at timestamp with time zone,
    deleted_at timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    refresh_hours integer,
    times_gone integer DEFAULT 0 NOT NULL,
    CONSTRAINT ck_documents_processing_status CHECK ((processing_status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text]))),
    CONSTRAINT documents_file_size_check CHECK ((file_size >= 0)),
    CONSTRAINT documents_metadata_check CHECK (public.is_small(metadata)),
    CONSTRAINT documents_refresh_hours_check CHECK ((refresh_hours >= 1)),
    CONSTRAINT documents_upload_check CHECK (public.is_small(upload)),
    CONSTRAINT documents_version_check CHECK ((version >= 0))
);

ALTER TABLE ONLY public.documents FORCE ROW LEVEL SECURITY;

CREATE TABLE public.draft_actions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    draft_id uuid NOT NULL,
    user_id uuid NOT NULL,
    api_key_id uuid,
    type text NOT NULL,
    reason_code text,
    notes text,
    final_text text,
    final_html text,
    diff_json jsonb,
    message_id uuid,
    revoked_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_draft_actions_reason_code CHECK ((reason_code = ANY (ARRAY['wrong_facts'::text, 'wrong_tone'::text, 'incomplete'::text, 'not_needed'::text, 'handled_elsewhere'::text, 'other'::text]))),
    CONSTRAINT ck_draft_actions_shape CHECK ((((type = 'reject'::text) = (reason_code IS NOT NULL)) AND ((type = 'reject'::text) = (message_id IS NULL)))),
    CONSTRAINT ck_draft_actions_type CHECK ((type = ANY (ARRAY['approve'::text, 'edit'::text, 'reject'::text]))),
    CONSTRAINT draft_actions_diff_json_check CHECK (public.is_small(diff_json))
);

ALTER TABLE ONLY public.draft_actions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.draft_claims (
    organization_id uuid NOT NULL,
    draft_id uuid NOT NULL,
    user_id uuid NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.draft_claims FORCE ROW LEVEL SECURITY;

CREATE TABLE public.drafts (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    trigger_message_id uuid NOT NULL,
    revision integer DEFAULT 1 NOT NULL,
    author_user_id uuid,
    model_key text NOT NULL,
    prompt_version text NOT NULL,
    status text DEFAULT 'pending'::text NOT NULL,
    suggested_text text NOT NULL,
    text_salt bytea NOT NULL,
    suggested_html text,
    top_sources jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_drafts_status CHECK ((status = ANY (ARRAY['pending'::text, 'sent'::text, 'superseded'::text, 'archived'::text]))),
    CONSTRAINT drafts_top_sources_check CHECK (public.is_small(top_sources))
);

ALTER TABLE ONLY public.drafts FORCE ROW LEVEL SECURITY;

CREATE VIEW public.draft_outcomes WITH (security_invoker='true') AS
 SELECT d.organization_id,
    date_trunc('day'::text, d.created_at) AS day,
    d.model_key,
    d.prompt_version,
    count(*) AS drafts,
    count(*) FILTER (WHERE (a.type = 'approve'::text)) AS approved,
    count(*) FILTER (WHERE (a.type = 'edit'::text)) AS edited,
    count(*) FILTER (WHERE (a.type = 'reject'::text)) AS rejected,
    count(*) FILTER (WHERE (d.status = 'superseded'::text)) AS superseded
   FROM (public.drafts d
     LEFT JOIN public.draft_actions a ON (((a.organization_id = d.organization_id) AND (a.draft_id = d.id) AND (a.revoked_at IS NULL))))
  GROUP BY d.organization_id, (date_trunc('day'::text, d.created_at)), d.model_key, d.prompt_version;

CREATE TABLE public.draft_requests (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    trigger_message_id uuid NOT NULL,
    revision integer DEFAULT 1 NOT NULL,
    status text DEFAULT 'waiting'::text NOT NULL,
    reason text,
    not_before timestamp with time zone NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    correlation_id text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_draft_requests_status CHECK ((status = ANY (ARRAY['waiting'::text, 'drafting'::text, 'drafted'::text, 'abstained'::text, 'superseded'::text, 'failed'::text])))
);

ALTER TABLE ONLY public.draft_requests FORCE ROW LEVEL SECURITY;

CREATE TABLE public.embedding_spaces (
    id uuid NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    dimensions integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT embedding_spaces_dimensions_check CHECK (((dimensions >= 1) AND (dimensions <= 1536)))
);

CREATE TABLE public.idempotency_keys (
    organization_id uuid NOT NULL,
    api_key_id uuid NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    response text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);

ALTER TABLE ONLY public.idempotency_keys FORCE ROW LEVEL SECURITY;

CREATE TABLE public.identities (
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    provider text NOT NULL,
    subject text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.identities FORCE ROW LEVEL SECURITY;

CREATE TABLE public.job_runs (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    leased_until timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    error text,
    metrics jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_job_runs_status CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'succeeded'::text, 'failed'::text]))),
    CONSTRAINT ck_job_runs_type CHECK ((type = ANY (ARRAY['crawl'::text, 'index'::text, 're_embed'::text, 'ingest_goldens'::text, 'corrections_sync'::text]))),
    CONSTRAINT job_runs_metrics_check CHECK (public.is_small(metrics))
);

ALTER TABLE ONLY public.job_runs FORCE ROW LEVEL SECURITY;

CREATE TABLE public.learning_samples (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    draft_id uuid NOT NULL,
    action_id uuid NOT NULL,
    diff_json jsonb NOT NULL,
    embeddings_json jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT learning_samples_diff_json_check CHECK (public.is_small(diff_json)),
    CONSTRAINT learning_samples_embeddings_json_check CHECK (public.is_small(embeddings_json))
);

ALTER TABLE ONLY public.learning_samples FORCE ROW LEVEL SECURITY;

CREATE TABLE public.message_embeddings (
    organization_id uuid NOT NULL,
    embedding_space_id uuid NOT NULL,
    message_id uuid NOT NULL,
    embedding public.vector(1536) NOT NULL
);
ALTER TABLE ONLY public.message_embeddings ALTER COLUMN embedding SET STORAGE PLAIN;

ALTER TABLE ONLY public.message_embeddings FORCE ROW LEVEL SECURITY;

CREATE TABLE public.messages (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    channel_id uuid NOT NULL,
    external_id text,
    direction text NOT NULL,
    role text NOT NULL,
    subject text,
    body_text text NOT NULL,
    body_html text,
    body_salt bytea NOT NULL,
    quoted_text text,
    may_have_cut boolean DEFAULT false NOT NULL,
    recipients jsonb DEFAULT '{}'::jsonb NOT NULL,
    reference_ids text[] DEFAULT '{}'::text[] NOT NULL,
    raw_key text,
    author_user_id uuid,
    sent_at timestamp with time zone NOT NULL,
    cancelled_at timestamp with time zone,
    language text DEFAULT 'english'::text NOT NULL,
    search tsvector GENERATED ALWAYS AS (public.search_vector(language, COALESCE(subject, ''::text), body_text)) STORED NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_messages_direction CHECK ((direction = ANY (ARRAY['inbound'::text, 'outbound'::text, 'system'::text]))),
    CONSTRAINT ck_messages_role CHECK ((role = ANY (ARRAY['system'::text, 'user'::text, 'assistant'::text, 'tool'::text]))),
    CONSTRAINT messages_metadata_check CHECK (public.is_small(metadata)),
    CONSTRAINT messages_recipients_check CHECK (public.is_small(recipients))
);

ALTER TABLE ONLY public.messages FORCE ROW LEVEL SECURITY;

CREATE TABLE public.model_usage (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    model_key text NOT NULL,
    prompt_version text,
    subject_id uuid,
    input_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    cost_microusd bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_model_usage_kind CHECK ((kind = ANY (ARRAY['chat'::text, 'embedding'::text])))
)
WITH (autovacuum_vacuum_insert_threshold='1000', autovacuum_vacuum_insert_scale_factor='0');

ALTER TABLE ONLY public.model_usage FORCE ROW LEVEL SECURITY;

CREATE TABLE public.notifications (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid,
    type text NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    read_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notifications_payload_check CHECK (public.is_small(payload))
);

ALTER TABLE ONLY public.notifications FORCE ROW LEVEL SECURITY;

CREATE TABLE public.organization_memberships (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text DEFAULT 'agent'::text NOT NULL,
    ended_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_organization_memberships_role CHECK ((role = ANY (ARRAY['admin'::text, 'agent'::text])))
);

ALTER TABLE ONLY public.organization_memberships FORCE ROW LEVEL SECURITY;

CREATE TABLE public.organization_settings (
    organization_id uuid NOT NULL,
    undo_seconds integer DEFAULT 10 NOT NULL,
    debounce_seconds integer DEFAULT 5 NOT NULL,
    daily_model_budget_microusd bigint DEFAULT 5000000 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    embedding_space_id uuid,
    CONSTRAINT organization_settings_daily_model_budget_microusd_check CHECK ((daily_model_budget_microusd >= 0)),
    CONSTRAINT organization_settings_debounce_seconds_check CHECK (((debounce_seconds >= 0) AND (debounce_seconds <= 900))),
    CONSTRAINT organization_settings_undo_seconds_check CHECK (((undo_seconds >= 0) AND (undo_seconds <= 900)))
);

ALTER TABLE ONLY public.organization_settings FORCE ROW LEVEL SECURITY;

CREATE TABLE public.organizations (
    id uuid NOT NULL,
    slug public.citext NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.organizations FORCE ROW LEVEL SECURITY;

CREATE TABLE public.outbox (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    queue text NOT NULL,
    body jsonb NOT NULL,
    not_before timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outbox_body_check CHECK (public.is_small(body))
);

ALTER TABLE ONLY public.outbox FORCE ROW LEVEL SECURITY;

CREATE TABLE public.participants (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    role text DEFAULT 'customer'::text NOT NULL,
    address public.citext NOT NULL,
    name text,
    person_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_participants_role CHECK ((role = ANY (ARRAY['customer'::text, 'agent'::text, 'copied'::text])))
);

ALTER TABLE ONLY public.participants FORCE ROW LEVEL SECURITY;

CREATE TABLE public.people (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    name text,
    email public.citext,
    phone text,
    handle text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.people FORCE ROW LEVEL SECURITY;

CREATE TABLE public.suppressions (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    address text NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.suppressions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.users (
    id uuid NOT NULL,
    email public.citext NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.users FORCE ROW LEVEL SECURITY;

CREATE TABLE public.vector_indexes (
    organization_id uuid NOT NULL,
    embedding_space_id uuid NOT NULL,
    corpus text NOT NULL,
    index_name text NOT NULL,
    rows integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.vector_indexes FORCE ROW LEVEL SECURITY;

CREATE TABLE public.webhook_deliveries (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    channel_id uuid NOT NULL,
    provider_event_id text NOT NULL,
    status text NOT NULL,
    reason text,
    received_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ck_webhook_deliveries_status CHECK ((status = ANY (ARRAY['accepted'::text, 'rejected'::text])))
);

ALTER TABLE ONLY public.webhook_deliveries FORCE ROW LEVEL SECURITY;

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.audit_checkpoints
    ADD CONSTRAINT audit_checkpoints_pkey PRIMARY KEY (organization_id, day);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_pkey PRIMARY KEY (organization_id, stream_id, seq);

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT channels_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.chunk_embeddings
    ADD CONSTRAINT chunk_embeddings_pkey PRIMARY KEY (organization_id, embedding_space_id, chunk_id);

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.crawl_pages
    ADD CONSTRAINT crawl_pages_pkey PRIMARY KEY (organization_id, job_run_id, url);

ALTER TABLE ONLY public.crawls
    ADD CONSTRAINT crawls_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT delivery_attempts_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.document_versions
    ADD CONSTRAINT document_versions_pkey PRIMARY KEY (organization_id, document_id, version);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.draft_claims
    ADD CONSTRAINT draft_claims_pkey PRIMARY KEY (organization_id, draft_id);

ALTER TABLE ONLY public.draft_requests
    ADD CONSTRAINT draft_requests_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.embedding_spaces
    ADD CONSTRAINT embedding_spaces_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (organization_id, api_key_id, key);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.job_runs
    ADD CONSTRAINT job_runs_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT learning_samples_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.message_embeddings
    ADD CONSTRAINT message_embeddings_pkey PRIMARY KEY (organization_id, embedding_space_id, message_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.model_usage
    ADD CONSTRAINT model_usage_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_pkey PRIMARY KEY (organization_id, user_id);

ALTER TABLE ONLY public.organization_settings
    ADD CONSTRAINT organization_settings_pkey PRIMARY KEY (organization_id);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.participants
    ADD CONSTRAINT participants_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT uq_api_keys_id UNIQUE (id);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT uq_audit_events_stream_id_seq UNIQUE (stream_id, seq);

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT uq_channels_type_external_id UNIQUE (organization_id, type, external_id);

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT uq_chunks_chunk_index UNIQUE (organization_id, document_id, version, chunk_index);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT uq_conversations_channel_id_external_id UNIQUE (organization_id, channel_id, external_id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT uq_conversations_session_id UNIQUE (organization_id, session_id);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT uq_datasets_slug UNIQUE (organization_id, slug);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT uq_deliveries_message_id UNIQUE (organization_id, message_id);

ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT uq_delivery_attempts_number UNIQUE (organization_id, delivery_id, number);

ALTER TABLE ONLY public.draft_requests
    ADD CONSTRAINT uq_draft_requests_trigger UNIQUE (organization_id, trigger_message_id, revision);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT uq_drafts_trigger UNIQUE (organization_id, trigger_message_id, revision);

ALTER TABLE ONLY public.embedding_spaces
    ADD CONSTRAINT uq_embedding_spaces_provider_model_dimensions UNIQUE (provider, model, dimensions);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT uq_identities_provider_subject UNIQUE (provider, subject);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT uq_learning_samples_action_id UNIQUE (organization_id, action_id);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT uq_learning_samples_draft_id UNIQUE (organization_id, draft_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT uq_messages_channel_id_external_id UNIQUE (organization_id, channel_id, external_id);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT uq_organizations_slug UNIQUE (slug);

ALTER TABLE ONLY public.participants
    ADD CONSTRAINT uq_participants_address UNIQUE (organization_id, conversation_id, address);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT uq_people_email UNIQUE (organization_id, email);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT uq_people_handle UNIQUE (organization_id, handle);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT uq_people_phone UNIQUE (organization_id, phone);

ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT uq_suppressions_address UNIQUE (organization_id, address);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_email UNIQUE (email);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT uq_webhook_deliveries_event UNIQUE (organization_id, channel_id, provider_event_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.vector_indexes
    ADD CONSTRAINT vector_indexes_pkey PRIMARY KEY (organization_id, embedding_space_id, corpus);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (organization_id, id);

CREATE INDEX ix_attachments_message_id ON public.attachments USING btree (organization_id, message_id);

CREATE INDEX ix_audit_events_organization_id_occurred_at ON public.audit_events USING btree (organization_id, occurred_at);

CREATE INDEX ix_chunk_embeddings_chunk_id ON public.chunk_embeddings USING btree (organization_id, chunk_id);

CREATE INDEX ix_chunks_hash ON public.chunks USING btree (organization_id, document_id, hash);

CREATE INDEX ix_chunks_search ON public.chunks USING gin (organization_id, search);

CREATE INDEX ix_conversations_channel_id_created_at ON public.conversations USING btree (organization_id, channel_id, created_at);

CREATE INDEX ix_conversations_customer_email ON public.conversations USING btree (organization_id, customer_email, last_message_at) WHERE (customer_email IS NOT NULL);

CREATE INDEX ix_conversations_feed ON public.conversations USING btree (organization_id, waiting_since, id) WHERE ((status = 'open'::text) AND (waiting_since IS NOT NULL));

CREATE INDEX ix_conversations_status ON public.conversations USING btree (organization_id, status, last_message_at DESC);

CREATE INDEX ix_crawl_pages_pending ON public.crawl_pages USING btree (organization_id, job_run_id, attempts, depth, id) WHERE (status = 'pending'::text);

CREATE INDEX ix_deliveries_conversation_id ON public.deliveries USING btree (organization_id, conversation_id, created_at);

CREATE INDEX ix_deliveries_provider_message_id ON public.deliveries USING btree (organization_id, channel_id, provider_message_id);

CREATE INDEX ix_documents_dataset_id ON public.documents USING btree (organization_id, dataset_id);

CREATE INDEX ix_documents_language ON public.documents USING btree (organization_id, language) WHERE (deleted_at IS NULL);

CREATE INDEX ix_documents_next_refresh_at ON public.documents USING btree (organization_id, next_refresh_at) WHERE ((next_refresh_at IS NOT NULL) AND (deleted_at IS NULL));

CREATE INDEX ix_documents_processing_status ON public.documents USING btree (organization_id, processing_status, id);

CREATE INDEX ix_draft_actions_draft_id ON public.draft_actions USING btree (organization_id, draft_id);

CREATE INDEX ix_draft_actions_message_id ON public.draft_actions USING btree (organization_id, message_id);

CREATE INDEX ix_draft_actions_user_id_created_at ON public.draft_actions USING btree (organization_id, user_id, created_at);

CREATE INDEX ix_draft_requests_conversation_id ON public.draft_requests USING btree (organization_id, conversation_id, created_at DESC);

CREATE INDEX ix_drafts_conversation_id_status ON public.drafts USING btree (organization_id, conversation_id, status);

CREATE INDEX ix_drafts_status_created_at ON public.drafts USING btree (organization_id, status, created_at);

CREATE INDEX ix_idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);

CREATE INDEX ix_identities_user_id ON public.identities USING btree (user_id);

CREATE INDEX ix_job_runs_organization_id_status ON public.job_runs USING btree (organization_id, status, id);

CREATE INDEX ix_job_runs_organization_id_type_created_at ON public.job_runs USING btree (organization_id, type, created_at);

CREATE INDEX ix_learning_samples_created_at ON public.learning_samples USING btree (organization_id, created_at);

CREATE INDEX ix_message_embeddings_message_id ON public.message_embeddings USING btree (organization_id, message_id);

CREATE INDEX ix_messages_conversation_id_sent_at ON public.messages USING btree (organization_id, conversation_id, sent_at, id);

CREATE INDEX ix_messages_language ON public.messages USING btree (organization_id, language);

CREATE INDEX ix_messages_search ON public.messages USING gin (organization_id, search);

CREATE INDEX ix_model_usage_organization_id_created_at ON public.model_usage USING btree (organization_id, created_at) INCLUDE (cost_microusd);

CREATE INDEX ix_notifications_created_at ON public.notifications USING btree (organization_id, created_at);

CREATE INDEX ix_notifications_user_id_created_at ON public.notifications USING btree (organization_id, user_id, created_at);

CREATE INDEX ix_organization_memberships_user_id ON public.organization_memberships USING btree (user_id);

CREATE INDEX ix_outbox_not_before ON public.outbox USING btree (not_before);

CREATE UNIQUE INDEX uq_channels_inbound_address ON public.channels USING btree (inbound_address);

CREATE UNIQUE INDEX uq_channels_mail_address ON public.channels USING btree (lower(external_id)) WHERE (type = 'email'::text);

CREATE UNIQUE INDEX uq_crawls_site ON public.crawls USING btree (organization_id, site) WHERE is_open;

CREATE UNIQUE INDEX uq_documents_source_url ON public.documents USING btree (organization_id, source_url) WHERE (deleted_at IS NULL);

CREATE UNIQUE INDEX uq_draft_actions_live ON public.draft_actions USING btree (organization_id, draft_id) WHERE (revoked_at IS NULL);

CREATE UNIQUE INDEX uq_drafts_pending ON public.drafts USING btree (organization_id, conversation_id) WHERE (status = 'pending'::text);

CREATE UNIQUE INDEX uq_job_runs_re_embed ON public.job_runs USING btree (organization_id) WHERE ((type = 're_embed'::text) AND (status = ANY (ARRAY['queued'::text, 'running'::text])));

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER touch BEFORE UPDATE ON public.channels FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.conversations FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.datasets FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.deliveries FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.documents FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.draft_requests FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.drafts FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.organization_settings FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.organizations FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.people FOR EACH ROW EXECUTE FUNCTION public.touch();

CREATE TRIGGER touch BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.touch();

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_organization_id_message_id_fkey FOREIGN KEY (organization_id, message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT attachments_organization_id_uploaded_by_fkey FOREIGN KEY (organization_id, uploaded_by) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.audit_checkpoints
    ADD CONSTRAINT audit_checkpoints_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.audit_events
    ADD CONSTRAINT audit_events_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.channels
    ADD CONSTRAINT channels_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.chunk_embeddings
    ADD CONSTRAINT chunk_embeddings_embedding_space_id_fkey FOREIGN KEY (embedding_space_id) REFERENCES public.embedding_spaces(id);

ALTER TABLE ONLY public.chunk_embeddings
    ADD CONSTRAINT chunk_embeddings_organization_id_chunk_id_fkey FOREIGN KEY (organization_id, chunk_id) REFERENCES public.chunks(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chunk_embeddings
    ADD CONSTRAINT chunk_embeddings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_organization_id_document_id_fkey FOREIGN KEY (organization_id, document_id) REFERENCES public.documents(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.chunks
    ADD CONSTRAINT chunks_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_organization_id_assignee_id_fkey FOREIGN KEY (organization_id, assignee_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_organization_id_channel_id_fkey FOREIGN KEY (organization_id, channel_id) REFERENCES public.channels(organization_id, id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT conversations_organization_id_person_id_fkey FOREIGN KEY (organization_id, person_id) REFERENCES public.people(organization_id, id);

ALTER TABLE ONLY public.crawl_pages
    ADD CONSTRAINT crawl_pages_organization_id_document_id_fkey FOREIGN KEY (organization_id, document_id) REFERENCES public.documents(organization_id, id) ON DELETE SET NULL (document_id);

ALTER TABLE ONLY public.crawl_pages
    ADD CONSTRAINT crawl_pages_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.crawl_pages
    ADD CONSTRAINT crawl_pages_organization_id_job_run_id_fkey FOREIGN KEY (organization_id, job_run_id) REFERENCES public.job_runs(organization_id, id);

ALTER TABLE ONLY public.crawls
    ADD CONSTRAINT crawls_organization_id_dataset_id_fkey FOREIGN KEY (organization_id, dataset_id) REFERENCES public.datasets(organization_id, id);

ALTER TABLE ONLY public.crawls
    ADD CONSTRAINT crawls_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.crawls
    ADD CONSTRAINT crawls_organization_id_id_fkey FOREIGN KEY (organization_id, id) REFERENCES public.job_runs(organization_id, id);

ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_organization_id_channel_id_fkey FOREIGN KEY (organization_id, channel_id) REFERENCES public.channels(organization_id, id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT delivery_attempts_organization_id_delivery_id_fkey FOREIGN KEY (organization_id, delivery_id) REFERENCES public.deliveries(organization_id, id);

ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT delivery_attempts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.document_versions
    ADD CONSTRAINT document_versions_organization_id_document_id_fkey FOREIGN KEY (organization_id, document_id) REFERENCES public.documents(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.document_versions
    ADD CONSTRAINT document_versions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_organization_id_dataset_id_fkey FOREIGN KEY (organization_id, dataset_id) REFERENCES public.datasets(organization_id, id);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.documents
    ADD CONSTRAINT documents_organization_id_job_run_id_fkey FOREIGN KEY (organization_id, job_run_id) REFERENCES public.job_runs(organization_id, id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_organization_id_api_key_id_fkey FOREIGN KEY (organization_id, api_key_id) REFERENCES public.api_keys(organization_id, id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_organization_id_draft_id_fkey FOREIGN KEY (organization_id, draft_id) REFERENCES public.drafts(organization_id, id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_organization_id_message_id_fkey FOREIGN KEY (organization_id, message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.draft_actions
    ADD CONSTRAINT draft_actions_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.draft_claims
    ADD CONSTRAINT draft_claims_organization_id_draft_id_fkey FOREIGN KEY (organization_id, draft_id) REFERENCES public.drafts(organization_id, id);

ALTER TABLE ONLY public.draft_claims
    ADD CONSTRAINT draft_claims_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.draft_claims
    ADD CONSTRAINT draft_claims_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.draft_requests
    ADD CONSTRAINT draft_requests_organization_id_conversation_id_fkey FOREIGN KEY (organization_id, conversation_id) REFERENCES public.conversations(organization_id, id);

ALTER TABLE ONLY public.draft_requests
    ADD CONSTRAINT draft_requests_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.draft_requests
    ADD CONSTRAINT draft_requests_organization_id_trigger_message_id_fkey FOREIGN KEY (organization_id, trigger_message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_organization_id_author_user_id_fkey FOREIGN KEY (organization_id, author_user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_organization_id_conversation_id_fkey FOREIGN KEY (organization_id, conversation_id) REFERENCES public.conversations(organization_id, id);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_organization_id_trigger_message_id_fkey FOREIGN KEY (organization_id, trigger_message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_latest_inbound_message_id FOREIGN KEY (organization_id, latest_inbound_message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.conversations
    ADD CONSTRAINT fk_conversations_latest_message_id FOREIGN KEY (organization_id, latest_message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT fk_deliveries_conversation_id FOREIGN KEY (organization_id, conversation_id) REFERENCES public.conversations(organization_id, id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT fk_deliveries_message_id FOREIGN KEY (organization_id, message_id) REFERENCES public.messages(organization_id, id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_organization_id_api_key_id_fkey FOREIGN KEY (organization_id, api_key_id) REFERENCES public.api_keys(organization_id, id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.job_runs
    ADD CONSTRAINT job_runs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT learning_samples_organization_id_action_id_fkey FOREIGN KEY (organization_id, action_id) REFERENCES public.draft_actions(organization_id, id);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT learning_samples_organization_id_draft_id_fkey FOREIGN KEY (organization_id, draft_id) REFERENCES public.drafts(organization_id, id);

ALTER TABLE ONLY public.learning_samples
    ADD CONSTRAINT learning_samples_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.message_embeddings
    ADD CONSTRAINT message_embeddings_embedding_space_id_fkey FOREIGN KEY (embedding_space_id) REFERENCES public.embedding_spaces(id);

ALTER TABLE ONLY public.message_embeddings
    ADD CONSTRAINT message_embeddings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.message_embeddings
    ADD CONSTRAINT message_embeddings_organization_id_message_id_fkey FOREIGN KEY (organization_id, message_id) REFERENCES public.messages(organization_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_organization_id_author_user_id_fkey FOREIGN KEY (organization_id, author_user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_organization_id_channel_id_fkey FOREIGN KEY (organization_id, channel_id) REFERENCES public.channels(organization_id, id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_organization_id_conversation_id_fkey FOREIGN KEY (organization_id, conversation_id) REFERENCES public.conversations(organization_id, id);

ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.model_usage
    ADD CONSTRAINT model_usage_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.notifications
    ADD CONSTRAINT notifications_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES public.organization_memberships(organization_id, user_id);

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.organization_settings
    ADD CONSTRAINT organization_settings_embedding_space_id_fkey FOREIGN KEY (embedding_space_id) REFERENCES public.embedding_spaces(id);

ALTER TABLE ONLY public.organization_settings
    ADD CONSTRAINT organization_settings_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.participants
    ADD CONSTRAINT participants_organization_id_conversation_id_fkey FOREIGN KEY (organization_id, conversation_id) REFERENCES public.conversations(organization_id, id);

ALTER TABLE ONLY public.participants
    ADD CONSTRAINT participants_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.participants
    ADD CONSTRAINT participants_organization_id_person_id_fkey FOREIGN KEY (organization_id, person_id) REFERENCES public.people(organization_id, id);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.suppressions
    ADD CONSTRAINT suppressions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.vector_indexes
    ADD CONSTRAINT vector_indexes_embedding_space_id_fkey FOREIGN KEY (embedding_space_id) REFERENCES public.embedding_spaces(id);

ALTER TABLE ONLY public.vector_indexes
    ADD CONSTRAINT vector_indexes_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_organization_id_channel_id_fkey FOREIGN KEY (organization_id, channel_id) REFERENCES public.channels(organization_id, id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE public.api_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.attachments ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_checkpoints ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.audit_events ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.channels ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chunk_embeddings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.chunks ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.conversations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.crawl_pages ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.crawls ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.datasets ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.deliveries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.delivery_attempts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.document_versions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.documents ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.draft_actions ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.draft_claims ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.draft_requests ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.drafts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.idempotency_keys ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.identities ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.job_runs ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.learning_samples ENABLE ROW LEVEL SECURITY;

CREATE POLICY member ON public.identities FOR SELECT TO app_rw, app_ro USING ((EXISTS ( SELECT
   FROM public.organization_memberships m
  WHERE ((m.user_id = identities.user_id) AND (m.organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)))));

CREATE POLICY member ON public.users FOR SELECT TO app_rw, app_ro USING ((EXISTS ( SELECT
   FROM public.organization_memberships m
  WHERE ((m.user_id = users.id) AND (m.organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)))));

ALTER TABLE public.message_embeddings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.model_usage ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.notifications ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.organization_memberships ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.organization_settings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY;

CREATE POLICY owner ON public.api_keys TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.attachments TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.audit_checkpoints TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.audit_events TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.channels TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.chunk_embeddings TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.chunks TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.conversations TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.crawl_pages TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.crawls TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.datasets TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.deliveries TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.delivery_attempts TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.document_versions TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.documents TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.draft_actions TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.draft_claims TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.draft_requests TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.drafts TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.idempotency_keys TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.identities TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.job_runs TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.learning_samples TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.message_embeddings TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.messages TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.model_usage TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.notifications TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.organization_memberships TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.organization_settings TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.organizations TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.outbox TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.participants TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.people TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.suppressions TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.users TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.vector_indexes TO app_owner USING (true) WITH CHECK (true);

CREATE POLICY owner ON public.webhook_deliveries TO app_owner USING (true) WITH CHECK (true);

ALTER TABLE public.participants ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.people ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.suppressions ENABLE ROW LEVEL SECURITY;

CREATE POLICY system ON public.audit_checkpoints TO app_system USING (true);

CREATE POLICY system ON public.audit_events TO app_system USING (true);

CREATE POLICY system ON public.idempotency_keys TO app_system USING (true);

CREATE POLICY system ON public.organizations TO app_system USING (true);

CREATE POLICY system ON public.outbox TO app_system USING (true);

CREATE POLICY tenant ON public.api_keys TO app_rw USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.attachments TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.audit_checkpoints TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.audit_events TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.channels TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.chunk_embeddings TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.chunks TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.conversations TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.crawl_pages TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.crawls TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.datasets TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.deliveries TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.delivery_attempts TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.document_versions TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.documents TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.draft_actions TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.draft_claims TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.draft_requests TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.drafts TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.idempotency_keys TO app_rw USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.job_runs TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.learning_samples TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.message_embeddings TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.messages TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.model_usage TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.notifications TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.organization_memberships TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.organization_settings TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.organizations TO app_rw, app_ro USING ((id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.outbox TO app_rw USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.participants TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.people TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.suppressions TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.vector_indexes TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

CREATE POLICY tenant ON public.webhook_deliveries TO app_rw, app_ro USING ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)) WITH CHECK ((organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid));

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.vector_indexes ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.webhook_deliveries ENABLE ROW LEVEL SECURITY;

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app_rw;
GRANT USAGE ON SCHEMA public TO app_ro;
GRANT USAGE ON SCHEMA public TO app_system;

REVOKE ALL ON FUNCTION public.chunks_frequencies(lexemes text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.chunks_frequencies(lexemes text[], most integer) TO app_rw;

REVOKE ALL ON FUNCTION public.chunks_with_any(lexemes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.chunks_with_any(lexemes text[]) TO app_rw;

REVOKE ALL ON FUNCTION public.find_api_key(key_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_api_key(key_id uuid) TO app_rw;

REVOKE ALL ON FUNCTION public.find_mail_channels(addresses text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_mail_channels(addresses text[]) TO app_rw;

REVOKE ALL ON FUNCTION public.find_refreshes(moment timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_refreshes(moment timestamp with time zone) TO app_system;

REVOKE ALL ON FUNCTION public.messages_frequencies(lexemes text[], most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.messages_frequencies(lexemes text[], most integer) TO app_rw;

REVOKE ALL ON FUNCTION public.messages_with_any(lexemes text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.messages_with_any(lexemes text[]) TO app_rw;

GRANT SELECT ON TABLE public.api_keys TO app_rw;

GRANT SELECT,INSERT,UPDATE ON TABLE public.attachments TO app_rw;
GRANT SELECT ON TABLE public.attachments TO app_ro;

GRANT SELECT ON TABLE public.audit_checkpoints TO app_rw;
GRANT SELECT ON TABLE public.audit_checkpoints TO app_ro;
GRANT SELECT,INSERT ON TABLE public.audit_checkpoints TO app_system;

GRANT SELECT,INSERT ON TABLE public.audit_events TO app_rw;
GRANT SELECT ON TABLE public.audit_events TO app_ro;
GRANT SELECT ON TABLE public.audit_events TO app_system;

GRANT SELECT,INSERT,UPDATE ON TABLE public.channels TO app_rw;
GRANT SELECT ON TABLE public.channels TO app_ro;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chunk_embeddings TO app_rw;
GRANT SELECT ON TABLE public.chunk_embeddings TO app_ro;

GRANT SELECT,INSERT,DELETE ON TABLE public.chunks TO app_rw;
GRANT SELECT ON TABLE public.chunks TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.conversations TO app_rw;
GRANT SELECT ON TABLE public.conversations TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.crawl_pages TO app_rw;
GRANT SELECT ON TABLE public.crawl_pages TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.crawls TO app_rw;
GRANT SELECT ON TABLE public.crawls TO app_ro;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.datasets TO app_rw;
GRANT SELECT ON TABLE public.datasets TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.deliveries TO app_rw;
GRANT SELECT ON TABLE public.deliveries TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.delivery_attempts TO app_rw;
GRANT SELECT ON TABLE public.delivery_attempts TO app_ro;

GRANT SELECT,INSERT,DELETE ON TABLE public.document_versions TO app_rw;
GRANT SELECT ON TABLE public.document_versions TO app_ro;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.documents TO app_rw;
GRANT SELECT ON TABLE public.documents TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.draft_actions TO app_rw;
GRANT SELECT ON TABLE public.draft_actions TO app_ro;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.draft_claims TO app_rw;
GRANT SELECT ON TABLE public.draft_claims TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.drafts TO app_rw;
GRANT SELECT ON TABLE public.drafts TO app_ro;

GRANT SELECT ON TABLE public.draft_outcomes TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.draft_requests TO app_rw;
GRANT SELECT ON TABLE public.draft_requests TO app_ro;

GRANT SELECT,INSERT ON TABLE public.embedding_spaces TO app_rw;
GRANT SELECT ON TABLE public.embedding_spaces TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.idempotency_keys TO app_rw;
GRANT SELECT,DELETE ON TABLE public.idempotency_keys TO app_system;

GRANT SELECT ON TABLE public.identities TO app_rw;
GRANT SELECT ON TABLE public.identities TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.job_runs TO app_rw;
GRANT SELECT ON TABLE public.job_runs TO app_ro;

GRANT SELECT,INSERT,DELETE ON TABLE public.learning_samples TO app_rw;
GRANT SELECT ON TABLE public.learning_samples TO app_ro;

GRANT SELECT,INSERT,DELETE ON TABLE public.message_embeddings TO app_rw;
GRANT SELECT ON TABLE public.message_embeddings TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.messages TO app_rw;
GRANT SELECT ON TABLE public.messages TO app_ro;

GRANT SELECT,INSERT ON TABLE public.model_usage TO app_rw;
GRANT SELECT ON TABLE public.model_usage TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.notifications TO app_rw;
GRANT SELECT ON TABLE public.notifications TO app_ro;

GRANT SELECT ON TABLE public.organization_memberships TO app_rw;
GRANT SELECT ON TABLE public.organization_memberships TO app_ro;

GRANT SELECT,UPDATE ON TABLE public.organization_settings TO app_rw;
GRANT SELECT ON TABLE public.organization_settings TO app_ro;

GRANT SELECT,UPDATE ON TABLE public.organizations TO app_rw;
GRANT SELECT ON TABLE public.organizations TO app_ro;
GRANT SELECT ON TABLE public.organizations TO app_system;

GRANT SELECT,INSERT,DELETE ON TABLE public.outbox TO app_rw;
GRANT SELECT,DELETE ON TABLE public.outbox TO app_system;

GRANT SELECT,INSERT ON TABLE public.participants TO app_rw;
GRANT SELECT ON TABLE public.participants TO app_ro;

GRANT SELECT,INSERT,UPDATE ON TABLE public.people TO app_rw;
GRANT SELECT ON TABLE public.people TO app_ro;

GRANT SELECT,INSERT,DELETE ON TABLE public.suppressions TO app_rw;
GRANT SELECT ON TABLE public.suppressions TO app_ro;

GRANT SELECT ON TABLE public.users TO app_rw;
GRANT SELECT ON TABLE public.users TO app_ro;

GRANT SELECT ON TABLE public.vector_indexes TO app_rw;
GRANT SELECT ON TABLE public.vector_indexes TO app_ro;

GRANT SELECT,INSERT ON TABLE public.webhook_deliveries TO app_rw;
GRANT SELECT ON TABLE public.webhook_deliveries TO app_ro;
