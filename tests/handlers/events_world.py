"""The world that the files under `events/` speak of: its rows, its secrets, its settings."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from countersign.channels.tables import Channel, Delivery, DeliveryAttempt
from countersign.conversations.tables import Attachment, Conversation, Message
from countersign.drafting.tables import Draft, DraftRequest
from countersign.identity.api_keys import SCOPES, Principal
from countersign.identity.tables import (
    ApiKey,
    Organization,
    OrganizationMembership,
    OrganizationSettings,
    User,
)
from countersign.knowledge.crawling.tables import Crawl, CrawlPage
from countersign.knowledge.tables import Dataset, Document
from countersign.platform.db import Database, engine
from countersign.platform.tables import JobRun, OutboxRow
from local import mails
from local.http_server import Response
from tests.conftest import PASSWORDS, TestDatabase
from tests.handlers.outside import Outside
from tests.world import MODEL_SETTINGS, Tenant, add_knowledge
from tools import built
from tools.events import EVENTS

SECRETS: dict[str, Any] = json.loads((EVENTS / "secrets.json").read_text())
SMALL = "0199a000-0000-7000-8000-0000000000"
ORGANIZATION = UUID(SMALL + "01")
USER = UUID(SMALL + "b1")
SMS, WHATSAPP, API, SES, SENDGRID = (UUID(f"{SMALL}c{n}") for n in range(1, 6))
QUEUED, SENT, MAILED = (UUID(f"{SMALL}d{n}") for n in range(1, 4))
ATTEMPT, MAIL_ATTEMPT = (UUID(f"{SMALL}a{n}") for n in range(1, 3))
REQUEST, DRAFT, LATE_ROW = (UUID(SMALL + last) for last in ("e1", "f1", "0b"))
MEDIA, PART, KEPT = (UUID(SMALL + last) for last in ("f3", "f4", "f2"))
ASKED, DRAFTED, REPLIED, DELIVERING, MAILING = (UUID(f"{SMALL}2{n}") for n in range(1, 6))
DATASET, DOCUMENT, RUN, MOVE = (UUID(f"{SMALL}d{n}") for n in (8, 9, 7, 6))
PAGE = "documents/page.html"
CRAWL, DUE = (UUID(SMALL + last) for last in ("ca", "5d"))
KEY_ID, KEY_SECRET = UUID(int=1), "events-only-not-a-real-key"
CUSTOMER, EVE = "+15550199001", "eve@example.com"
ARTICLE = "A 3/8 inch fuel line takes AN-6. Torque it by hand first."
SITE = b"<title>Hoses</title><p>A PTFE hose lasts longer.</p>"
PICTURE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
MAIL_TEXT = "The one on the photo leaks. Which one do I need?"
REPLY = "AN-6 fits a 3/8 inch fuel line."
LONG_AGO = datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
_OWN = {"organization_id": ORGANIZATION}


def event(function: str, case: str) -> dict[str, Any]:
    """The event of a file."""
    found: dict[str, Any] = json.loads((EVENTS / function / f"{case}.json").read_text())
    return found


def seed(database: TestDatabase) -> Tenant:
    """Write the rows that the events name."""
    owner = Database(engine(database.url("app_owner")))
    with owner.system() as session:
        _organization(session)
        for rows in (
            _asked(),
            _drafted(),
            _replied(),
            _delivering(),
            _mailing(),
            _files(),
            _page(),
            _move(),
        ):
            for row in rows:
                session.add(row)
                session.flush()
        session.get_one(Message, (ORGANIZATION, DRAFTED)).raw_key = "mail/1.eml"
        session.add(_late_promise())
    owner.engine.dispose()
    key = f"cs_{KEY_ID.hex}_{KEY_SECRET}"
    principal = Principal(ORGANIZATION, KEY_ID, USER, frozenset(SCOPES))
    tenant = Tenant(ORGANIZATION, USER, API, key, principal)
    add_knowledge(database, tenant, [ARTICLE])
    with database.app_rw.tenant(ORGANIZATION) as session:
        _pages(session)
    return tenant


def _organization(session: Session) -> None:
    session.add(Organization(id=ORGANIZATION, slug="hotrodan", name="Hot Rod AN"))
    session.add(User(id=USER, email="agent@hotrodan.example", display_name="Agent"))
    session.flush()
    session.add(OrganizationSettings(**_OWN, undo_seconds=0, debounce_seconds=0))
    session.add(OrganizationMembership(**_OWN, user_id=USER))
    session.flush()
    session.add(
        ApiKey(
            **_OWN,
            id=KEY_ID,
            user_id=USER,
            name="events",
            secret_hash=hashlib.sha256(KEY_SECRET.encode()).digest(),
            scopes=list(SCOPES),
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
    )
    session.add(_channel(SMS, "sms", "twilio", "+15550100001"))
    session.add(_channel(WHATSAPP, "whatsapp", "twilio", "whatsapp:+15550100002"))
    session.add(_channel(API, "api", "api", "website"))
    session.add(_channel(SES, "email", "ses", "support@hotrodan.example"))
    session.add(_channel(SENDGRID, "email", "sendgrid", "hello@hotrodan.example"))
    session.flush()


def _channel(id_: UUID, type_: Any, provider: str, external_id: str) -> Channel:
    return Channel(
        **_OWN, id=id_, type=type_, provider=provider, external_id=external_id, name=type_
    )


def _asked() -> Iterator[Any]:
    """A question that waits for its draft."""
    yield from _thread(ASKED, CUSTOMER + "1", "inbound", "Which AN size fits a 3/8 inch fuel line?")
    yield DraftRequest(
        **_OWN, id=REQUEST, conversation_id=ASKED, trigger_message_id=ASKED, not_before=LONG_AGO
    )


def _drafted() -> Iterator[Any]:
    """A question whose draft waits for a person."""
    yield from _thread(DRAFTED, CUSTOMER + "2", "inbound", "What fits 3/8?")
    yield Draft(
        **_OWN,
        id=DRAFT,
        conversation_id=DRAFTED,
        trigger_message_id=DRAFTED,
        model_key="openai/quoter",
        prompt_version="reply-1",
        suggested_text=REPLY,
        text_salt=bytes(16),
    )


def _replied() -> Iterator[Any]:
    """A reply that is to go out."""
    yield from _thread(REPLIED, CUSTOMER + "3", "outbound", REPLY)
    yield _delivery(QUEUED, REPLIED, "queued")


def _delivering() -> Iterator[Any]:
    """A reply that Twilio has taken."""
    yield from _thread(DELIVERING, CUSTOMER + "4", "outbound", REPLY)
    yield _delivery(SENT, DELIVERING, "sent")
    yield DeliveryAttempt(
        **_OWN, id=ATTEMPT, delivery_id=SENT, number=1, outcome="accepted", started_at=LONG_AGO
    )


def _files() -> Iterator[Attachment]:
    """Files of the questions: two are to be fetched, one has been."""
    name = {"file_name": "ME1", "mime_type": "image/jpeg"}
    # Where Twilio is, is known when it runs: see `put_files`.
    yield Attachment(**_OWN, id=MEDIA, message_id=ASKED, **name, file_url="-")
    yield Attachment(**_OWN, id=PART, message_id=DRAFTED, **name, part_index=1)
    kept = {"status": "completed", "sha256": hashlib.sha256(PICTURE).hexdigest()}
    yield Attachment(**_OWN, id=KEPT, message_id=DELIVERING, **name, **kept)


def _pages(session: Session) -> None:
    """A site that is to be crawled, and a page of another that is to be fetched again."""
    dataset_id = session.scalars(select(Dataset.id).limit(1)).one()
    rows: list[Any] = [
        JobRun(**_OWN, id=CRAWL, type="crawl"),
        Crawl(
            **_OWN,
            id=CRAWL,
            dataset_id=dataset_id,
            source="site",
            # Where it is, is known when it runs: see `put_site`.
            site="-",
            max_pages=1,
            max_depth=0,
        ),
        CrawlPage(organization_id=ORGANIZATION, job_run_id=CRAWL, url="-"),
        Document(
            **_OWN,
            id=DUE,
            dataset_id=dataset_id,
            title="Returns",
            source_url="https://hotrodan.example/returns",
            next_refresh_at=LONG_AGO,
        ),
    ]
    for row in rows:
        session.add(row)
        session.flush()


def put_site(outside: Outside, database: TestDatabase) -> None:
    """Put the page that is to be crawled where it is to be fetched from."""
    outside.pages["/hoses"] = Response(200, SITE, (("Content-Type", "text/html"),))
    with database.connect() as connection:
        connection.execute("UPDATE crawl_pages SET url = %s", [outside.url + "/hoses"])
        connection.execute("UPDATE crawls SET site = %s", [outside.url.partition("//")[2]])


def put_files(outside: Outside, database: TestDatabase) -> None:
    """Put the files that are to be fetched where they are to be fetched from."""
    account = SECRETS["channels"][str(SMS)]["account_sid"]
    path = f"/2010-04-01/Accounts/{account}/Messages/MM1/Media/ME1"
    outside.files[path] = PICTURE
    part = b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee this.\r\n"
    outside.objects["messages/mail/1.eml"] = head + part + b"\r\n--b--"
    with database.connect() as connection:
        connection.execute(
            "UPDATE attachments SET file_url = %s WHERE id = %s", [outside.url + path, MEDIA]
        )


def _mailing() -> Iterator[Any]:
    """A reply that SES has taken."""
    yield from _thread(MAILING, EVE, "outbound", REPLY, SES)
    yield _delivery(MAILED, MAILING, "sent", SES, EVE)
    yield DeliveryAttempt(
        **_OWN,
        id=MAIL_ATTEMPT,
        delivery_id=MAILED,
        number=1,
        outcome="accepted",
        started_at=LONG_AGO,
    )


def _thread(
    id_: UUID, address: str, direction: Any, text: str, channel_id: UUID = SMS
) -> Iterator[Any]:
    """A conversation of one message, which has the same id; it waits for us if that is inbound."""
    inbound = direction == "inbound"
    conversation = Conversation(
        **_OWN,
        id=id_,
        channel_id=channel_id,
        external_id=address,
        customer_address=address,
        last_message_at=LONG_AGO,
        waiting_since=LONG_AGO if inbound else None,
    )
    yield conversation
    yield Message(
        **_OWN,
        id=id_,
        conversation_id=id_,
        channel_id=channel_id,
        direction=direction,
        role="user" if inbound else "assistant",
        body_text=text,
        body_salt=bytes(16),
        author_user_id=None if inbound else USER,
        sent_at=LONG_AGO,
    )
    conversation.latest_message_id = id_
    conversation.latest_inbound_message_id = id_ if inbound else None
    conversation.latest_inbound_at = LONG_AGO if inbound else None


def _delivery(
    id_: UUID,
    conversation_id: UUID,
    status: Any,
    channel_id: UUID = SMS,
    recipient: str = CUSTOMER + "3",
) -> Delivery:
    return Delivery(
        **_OWN,
        id=id_,
        channel_id=channel_id,
        conversation_id=conversation_id,
        message_id=conversation_id,
        status=status,
        sender="+15550100001",
        recipient=recipient,
        payload={"text": REPLY},
        not_before=LONG_AGO,
    )


def _page() -> Iterator[Any]:
    """A page that is to be indexed."""
    yield Dataset(**_OWN, id=DATASET, slug="website", name="Website")
    yield JobRun(**_OWN, id=RUN, type="index")
    yield Document(
        **_OWN,
        id=DOCUMENT,
        dataset_id=DATASET,
        title="Torque",
        content_type="text/html; charset=utf-8",
        s3_key=PAGE,
        file_size=100,
        job_run_id=RUN,
    )


def _move() -> Iterator[Any]:
    """A re-embedding that is to begin."""
    yield JobRun(**_OWN, id=MOVE, type="re_embed")


def _late_promise() -> OutboxRow:
    """What a handler that was killed left behind."""
    body = {"organization_id": str(ORGANIZATION), "draft_request_id": str(REQUEST)}
    return OutboxRow(
        **_OWN, id=LATE_ROW, queue="drafts", body=body, not_before=LONG_AGO, created_at=LONG_AGO
    )


def settings(function: str, outside: Outside, database: TestDatabase | None) -> dict[str, str]:
    """The environment of a function: just what the template sets; fills the secrets it names."""
    outside.secrets |= {"channel-key": SECRETS["channel_key"]}
    for channel_id, credentials in SECRETS["channels"].items():
        outside.secrets[f"channels/{channel_id}"] = json.dumps(credentials)
    values = {
        "STAGE": "test",
        "LOG_LEVEL": "INFO",
        "RAW_BUCKET": "raw",
        "MESSAGES_BUCKET": "messages",
        "DOCUMENTS_BUCKET": "documents",
        "CRAWL_ALLOWED_NETWORKS": "127.0.0.0/8",
        "AUDIT_BUCKET": "audit",
        "CHANNEL_KEY_SECRET_ID": "channel-key",
        "CHANNEL_SECRETS_PREFIX": "channels/",
        "MAX_BODY_BYTES": "4194304",
        "PUBLIC_URL": SECRETS["public_url"],
        "TWILIO_API_URL": outside.url,
        "SENDGRID_API_URL": outside.url,
        **{f"{name.upper()}_QUEUE_URL": outside.queue_url(name) for name in _QUEUES},
        **_models(outside),
        **(_database(function, outside, database) if database else {}),
    }
    return built.variables(function, values) | {"AWS_ENDPOINT_URL": outside.url}


_QUEUES = ("inbound", "drafts", "outbound", "attachments", "index", "crawl", "relay")


def _models(outside: Outside) -> dict[str, str]:
    values = {
        "CHAT_BASE_URL": f"{outside.url}/v1",
        "CHAT_SECRET_ID": "",
        "CHAT_TIMEOUT_SECONDS": "25",
        "EMBEDDING_BASE_URL": f"{outside.url}/v1",
        "EMBEDDING_SECRET_ID": "",
    }
    named = vars(MODEL_SETTINGS).items()
    return {name.upper(): str(value) for name, value in named} | values


def _database(function: str, outside: Outside, database: TestDatabase) -> dict[str, str]:
    passwords = {**PASSWORDS, database.cluster.user: database.cluster.password}
    for role, password in passwords.items():
        outside.secrets[role] = json.dumps({"username": role, "password": password})
    enters_as = {"relay": "app_system", "migrations": "app_owner"}.get(function, "app_rw")
    return {
        "DATABASE_HOST": str(database.cluster.host),
        "DATABASE_PORT": str(database.cluster.port),
        "DATABASE_NAME": database.name,
        # A Unix socket has no TLS.
        "DATABASE_SSLMODE": "disable",
        "DATABASE_PROXY": "false",
        "DATABASE_SECRET_ID": enters_as,
        "MASTER_SECRET_ID": database.cluster.user,
        **{f"{role.upper()}_SECRET_ID": role for role in ("app_rw", "app_ro", "app_system")},
        "PGSSLROOTCERT": "",
    }


def put_large_request(outside: Outside) -> str:
    """Put what `ingest/large.json` points to into the bucket; returns the message's text."""
    (pointer,) = event("ingest", "large")["Records"]
    carried = json.loads(event("ingest", "batch")["Records"][2]["body"])["request"]
    told = json.loads(base64.b64decode(carried["body"]))
    told["data"]["text"] = "Where is my order? " * 20_000
    content = {**carried, "body": base64.b64encode(json.dumps(told).encode()).decode()}
    outside.objects[f"raw/{json.loads(pointer['body'])['s3_key']}"] = json.dumps(content).encode()
    return str(told["data"]["text"])


def put_received_mail(outside: Outside) -> bytes:
    """Put the mail that `ingest/ses-mail.json` tells of into the bucket; returns it."""
    (told,) = event("ingest", "ses-mail")["Records"]
    action = json.loads(json.loads(told["body"])["Message"])["receipt"]["action"]
    raw = mails.reply_with_photo("dee@example.com", "Dee", "support@hotrodan.example", MAIL_TEXT)
    outside.objects[f"{action['bucketName']}/{action['objectKey']}"] = raw
    return raw


@contextmanager
def started(
    function: str, outside: Outside, database: TestDatabase | None, prelude: str = ""
) -> Iterator[built.Process]:
    """The built function, running in this world; `prelude` is Python that runs before it."""
    code = built.functions()[function]
    with built.running(code, settings(function, outside, database), prelude) as process:
        yield process


def cases(function: str) -> list[Path]:
    """The files of a function's events."""
    return sorted((EVENTS / function).glob("*.json"))
