"""What was built, driven as Lambda drives it: every event through awslambdaric, layers alone.

Each event is the first of a fresh process, in a world of its own: a real Postgres with the rows
that the events name, and stubs for all else outside.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import select

from countersign.channels import keys
from countersign.channels.keys import ChannelKey
from countersign.channels.tables import Channel, Delivery, DeliveryAttempt
from countersign.conversations.tables import Attachment, Message
from countersign.drafting.tables import Draft, DraftRequest
from countersign.identity.tables import Organization
from countersign.knowledge.crawling.tables import CrawlPage
from countersign.knowledge.tables import Chunk, Document, MessageEmbedding
from countersign.models.tables import ModelUsage
from countersign.platform.db import Database, engine
from countersign.platform.tables import AuditCheckpoint, JobRun, OutboxRow
from local import mails, postgres
from local.providers.sendgrid import SigningKey, inbound
from tests.conftest import TestDatabase, copied
from tests.handlers import events_world as events
from tests.handlers import libraries
from tests.handlers.outside import TWILIO_SID, Outside, outside
from tools import built
from tools.environment import ROOT

_numbers = itertools.count()


@dataclass
class World:
    """What a function ran in, and what it left there."""

    process: built.Process
    outside: Outside
    database: TestDatabase | None

    def rows(self, table: Any, *wanted: Any) -> list[Any]:
        """The rows of a table, whoever's they are."""
        assert self.database is not None
        owner = Database(engine(self.database.url("app_owner")))
        with owner.system() as session:
            found = list(session.scalars(select(table).where(*wanted)))
        owner.engine.dispose()
        return found

    def row(self, table: Any, id_: object) -> Any:
        (found,) = self.rows(table, table.id == id_)
        return found


Start = Callable[[str], World]


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    assert built.faults() == []


@pytest.fixture(scope="module")
def seeded(cluster: postgres.Cluster, template: str) -> Iterator[str]:
    """The name of a database that holds what the events name."""
    with copied(cluster, template, "template_events") as database:
        events.seed(database)
        for each in (database.app_rw, database.app_system):
            each.engine.dispose()
        yield database.name


@contextmanager
def world(function: str, cluster: postgres.Cluster, source: str | None) -> Iterator[World]:
    """A function, started; its database is a copy of `source`, if it has one."""
    with outside() as around:
        events.put_large_request(around)
        events.put_received_mail(around)
        if source is None:
            with events.started(function, around, None, LISTING_START) as process:
                yield World(process, around, None)
        else:
            with (
                copied(cluster, source, f"built_{next(_numbers)}") as database,
                events.started(function, around, database, LISTING_START) as process,
            ):
                yield World(process, around, database)


def accepted_by_twilio(world: World, answer: Any) -> None:
    assert (answer["statusCode"], answer["body"]) == (200, "<Response/>")
    assert answer["headers"]["content-type"] == "text/xml"
    (queued,) = world.outside.queued["inbound"]
    assert queued["organization_id"] == str(events.ORGANIZATION)
    assert queued["correlation_id"] == "JKJaXmPLvHcESHA="


def found_document(world: World, answer: Any) -> None:
    results = json.loads(answer["body"])
    assert answer["statusCode"] == 200
    (found,) = results["items"]
    assert (found["text"], found["document"]["title"]) == (events.ARTICLE, "Article 0")
    assert [27, 31] in found["highlights"]
    assert {"an6", "fuel"} <= set(found["lexemes"])
    assert world.rows(ModelUsage, ModelUsage.kind == "embedding")


def found_message(world: World, answer: Any) -> None:
    texts = [found["text"] for found in json.loads(answer["body"])["items"]]
    assert "Which AN size fits a 3/8 inch fuel line?" in texts


def refused(status: int, code: str) -> Callable[[World, Any], None]:
    def check(world: World, answer: Any) -> None:
        document = json.loads(answer["body"])
        assert (answer["statusCode"], document["status"]) == (status, status)
        assert document["type"] == f"https://countersign.dev/problems/{code}"
        assert answer["headers"]["content-type"] == "application/problem+json"
        # A check of the outbox goes out before anything is written.
        assert world.outside.queued.keys() <= {"relay"}

    return check


def ingested(*texts: str) -> Callable[[World, Any], None]:
    def check(world: World, answer: Any) -> None:
        assert answer == {"batchItemFailures": []}
        messages = world.rows(Message, Message.external_id.is_not(None))
        assert sorted(message.body_text for message in messages) == sorted(texts)
        requests = world.rows(DraftRequest, DraftRequest.id != events.REQUEST)
        assert {one.trigger_message_id for one in requests} == {one.id for one in messages}
        asked = {body["draft_request_id"] for body in world.outside.queued["drafts"]}
        assert asked == {str(one.id) for one in requests}
        assert {"check": "outbox"} in world.outside.queued["relay"]
        assert [row.id for row in world.rows(OutboxRow)] == [events.LATE_ROW]

    return check


def ingested_media(world: World, answer: Any) -> None:
    ingested(SMS_TEXT, WHATSAPP_TEXT, API_TEXT)(world, answer)
    of_others = (events.MEDIA, events.PART, events.KEPT)
    (attachment,) = world.rows(Attachment, Attachment.id.not_in(of_others))
    assert (attachment.mime_type, attachment.status) == ("image/jpeg", "pending")
    (promise,) = world.outside.queued["attachments"]
    assert promise["message_id"] == str(attachment.message_id)


def ingested_large(world: World, answer: Any) -> None:
    ingested(events.put_large_request(world.outside))(world, answer)


def ingested_mail_of_ses(world: World, answer: Any) -> None:
    ingested(f"{events.MAIL_TEXT}\n\nDee")(world, answer)
    message = mail_of(world, events.SES)
    assert message.subject == "Re: Your order 20417"
    assert "One parcel has left our shop today." in message.quoted_text
    (attachment,) = world.rows(Attachment, Attachment.message_id == message.id)
    assert (attachment.file_name, attachment.mime_type) == ("fitting.png", "image/png")


def ingested_mail_of_sendgrid(world: World, answer: Any) -> None:
    ingested(HTML_TEXT)(world, answer)
    message = mail_of(world, events.SENDGRID)
    assert message.subject == "Before I order"
    assert "<style>" not in message.body_html
    assert "AN-10 hose ends?" in message.body_html


def mail_of(world: World, channel_id: UUID) -> Any:
    """The mail that came in by a channel; the whole of it is kept."""
    (message,) = world.rows(
        Message, Message.channel_id == channel_id, Message.direction == "inbound"
    )
    (key,) = (key for key in world.outside.objects if key.startswith("messages/mail/"))
    assert message.external_id.encode() in world.outside.objects[key]
    return message


def mail_delivered(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    delivery = world.row(Delivery, events.MAILED)
    assert (delivery.status, delivery.recipient) == ("delivered", events.EVE)


def delivered(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    delivery = world.row(Delivery, events.SENT)
    assert (delivery.status, delivery.provider_message_id) == ("delivered", f"SM{3:032}")


def drafted(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    assert world.row(DraftRequest, events.REQUEST).status == "drafted"
    (draft,) = world.rows(Draft, Draft.conversation_id == events.ASKED)
    quote = "A 3/8 inch fuel line takes AN-6"
    assert (draft.status, draft.suggested_text) == ("pending", f"Hello! {quote}.")
    assert [source["quote"] for source in draft.top_sources] == [quote]
    assert (draft.model_key, draft.prompt_version) == ("openai/quoter", "reply-1")


def sent(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    (post,) = world.outside.posted
    form = {name: values[0] for name, values in parse_qs(post.body.decode()).items()}
    account = events.SECRETS["channels"][str(events.SMS)]["account_sid"]
    assert post.path == f"/2010-04-01/Accounts/{account}/Messages.json"
    assert (form["From"], form["To"], form["Body"]) == (
        "+15550100001",
        events.CUSTOMER + "3",
        events.REPLY,
    )
    delivery = world.row(Delivery, events.QUEUED)
    assert (delivery.status, delivery.provider_message_id) == ("sent", TWILIO_SID)
    (attempt,) = world.rows(DeliveryAttempt, DeliveryAttempt.delivery_id == events.QUEUED)
    callback = urlsplit(form["StatusCallback"])
    assert parse_qs(callback.query) == {"attempt": [str(attempt.id)]}
    assert f"{callback.scheme}://{callback.netloc}" == events.SECRETS["public_url"]


def fetched(attachment_id: object) -> Callable[[World, Any], None]:
    def check(world: World, answer: Any) -> None:
        assert answer == {"batchItemFailures": []}
        file = world.row(Attachment, attachment_id)
        assert (file.status, file.mime_type, file.reason) == ("completed", "image/png", None)
        key = f"messages/files/{events.ORGANIZATION}/{file.sha256}"
        assert world.outside.objects[key] == events.PICTURE

    return check


def swept(world: World, answer: Any) -> None:
    assert answer is None
    (promise,) = world.outside.queued["drafts"]
    assert promise["draft_request_id"] == str(events.REQUEST)
    assert world.rows(OutboxRow) == []


def swept_and_checkpointed(world: World, answer: Any) -> None:
    swept(world, answer)
    (checkpoint,) = world.rows(AuditCheckpoint)
    assert f"audit/{checkpoint.object_key}" in world.outside.objects
    assert world.outside.queued["crawl"] == [{"organization_id": str(events.ORGANIZATION)}]


def crawled(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    (page,) = world.rows(CrawlPage, CrawlPage.job_run_id == events.CRAWL)
    assert (page.status, page.reason) == ("changed", None)
    document = world.row(Document, page.document_id)
    assert (document.title, document.source_url) == ("Hoses", page.url)
    assert world.outside.objects[f"documents/{document.s3_key}"] == events.SITE
    assert world.outside.queued["index"][0]["document_id"] == str(document.id)
    assert world.row(JobRun, events.CRAWL).status == "succeeded"


def refreshed(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    (promise,) = world.outside.queued["crawl"]
    (page,) = world.rows(CrawlPage, CrawlPage.job_run_id == promise["crawl_id"])
    assert page.url == "https://hotrodan.example/returns"


def upgraded(world: World, answer: Any) -> None:
    assert world.database is not None
    with world.database.connect() as connection:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    assert found == [(answer["revision"],)]
    assert world.rows(Organization) == []


def founded(world: World, answer: Any) -> None:
    (organization,) = world.rows(Organization)
    (channel,) = world.rows(Channel)
    assert (organization.slug, channel.external_id) == ("hotrodan", "+15550100001")
    assert answer["organization_id"] == str(organization.id)
    assert answer["channel"]["channel_id"] == str(channel.id)
    assert answer["api_key"].startswith("cs_")


def sampled(world: World, answer: Any) -> None:
    assert [tenant["slug"] for tenant in answer["tenants"]] == ["hot-rod-an", "northwind-bicycles"]
    assert all(tenant["embedded"] for tenant in answer["tenants"])
    assert sorted(draft.status for draft in world.rows(Draft)) == ["pending", "pending", "sent"]


def maintained(world: World, answer: Any) -> None:
    assert answer == {"made": [], "dropped": []}


def fed(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 200
    items = {item["conversation"]["id"]: item for item in json.loads(answer["body"])["items"]}
    assert items.keys() == {str(events.ASKED), str(events.DRAFTED)}
    assert items[str(events.DRAFTED)]["draft"]["id"] == str(events.DRAFT)
    assert items[str(events.ASKED)]["request"]["status"] == "waiting"


def shown(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 200
    draft = json.loads(answer["body"])
    assert (draft["id"], draft["status"]) == (str(events.DRAFT), "pending")
    assert draft["text"] == events.REPLY


def downloadable(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 200
    file = json.loads(answer["body"])
    assert (file["id"], file["status"]) == (str(events.KEPT), "completed")
    assert urlsplit(file["url"]).path.endswith(f"files/{events.ORGANIZATION}/{file['sha256']}")
    # Who looks on must not be able to follow it.
    assert file["url"] not in world.process.output()


def approve(world: World) -> None:
    """Approve the draft as it is shown."""
    draft = json.loads(world.process.invoke(events.event("approvals", "draft")).value["body"])
    asked = events.event("approvals", "approve-stale")
    asked["body"] = json.dumps({"revision_token": draft["revision_token"]})
    answer = world.process.invoke(asked).value
    assert answer["statusCode"] == 201
    (delivery,) = world.rows(Delivery, Delivery.conversation_id == events.DRAFTED)
    assert (delivery.status, delivery.payload["text"]) == ("queued", events.REPLY)
    assert {body["delivery_id"] for body in world.outside.queued["outbound"]} == {str(delivery.id)}
    assert world.row(Draft, events.DRAFT).status == "sent"


def put_files(world: World) -> None:
    assert world.database
    events.put_files(world.outside, world.database)


def put_site(world: World) -> None:
    assert world.database
    events.put_site(world.outside, world.database)


def stale(world: World, answer: Any) -> None:
    refused(409, "stale")(world, answer)
    assert json.loads(answer["body"])["changed"] == ["last_message"]
    assert world.row(Draft, events.DRAFT).status == "pending"


def undone(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["status"] == "pending"
    assert world.row(Draft, events.DRAFT).status == "pending"
    (delivery,) = world.rows(Delivery, Delivery.conversation_id == events.DRAFTED)
    assert delivery.status == "cancelled"


def described(world: World, answer: Any) -> None:
    assert (answer["statusCode"], answer["headers"]["content-type"]) == (200, "application/json")
    document = json.loads(answer["body"])
    assert document == json.loads((ROOT / "docs" / "openapi.json").read_text())


def put_page(world: World) -> None:
    page = "<main><h1>Torque</h1><p>Tighten AN-6 to 20 Nm.</main>"
    world.outside.objects[f"documents/{events.PAGE}"] = page.encode()


def indexed(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    (chunk,) = world.rows(Chunk, Chunk.document_id == events.DOCUMENT)
    assert (chunk.heading, chunk.text) == ("Torque", "Tighten AN-6 to 20 Nm.")
    assert world.row(Document, events.DOCUMENT).processing_status == "completed"
    assert world.row(JobRun, events.RUN).status == "succeeded"


def messages_embedded(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    embedded = {row.message_id for row in world.rows(MessageEmbedding)}
    assert embedded == {events.ASKED, events.DRAFTED}


def moved(world: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    run = world.row(JobRun, events.MOVE)
    assert run.status == "succeeded"
    assert run.metrics["embedded"] == run.metrics["texts"] == len(world.rows(MessageEmbedding))


def moving(world: World, answer: Any) -> None:
    """There is one under way: it is answered, and nothing is promised again."""
    assert answer["statusCode"] == 201
    assert json.loads(answer["body"])["id"] == str(events.MOVE)
    assert "index" not in world.outside.queued


def about_to_move(world: World, answer: Any) -> None:
    runs = {str(row.id) for row in world.rows(JobRun) if row.type == "re_embed"}
    assert set(answer["job_runs"]) == runs


def document_read(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 200
    read = json.loads(answer["body"])
    assert (read["title"], read["processing_status"]) == ("Torque", "pending")


def document_added(world: World, answer: Any) -> None:
    assert answer["statusCode"] == 201
    (promise,) = world.outside.queued["index"]
    assert promise["document_id"] == json.loads(answer["body"])["id"]


SMS_TEXT = "Which AN size fits a 3/8 inch fuel line?"
WHATSAPP_TEXT = "My hose leaks at the crimp 😕"
HTML_TEXT = "Do you carry AN-10 hose ends?\nI need four of them.\nFay"
API_TEXT = "Where is my order 20417? It should have arrived on Monday."

EXPECTED: dict[str, dict[str, Callable[[World, Any], None]]] = {
    "webhooks": {
        "twilio-sms": accepted_by_twilio,
        "twilio-whatsapp": accepted_by_twilio,
        "twilio-status": accepted_by_twilio,
        "api-message-late": refused(401, "unauthenticated"),
        "unsigned": refused(401, "unauthenticated"),
        "forged-key": refused(404, "not-found"),
    },
    "ingest": {
        "sms": ingested(SMS_TEXT),
        "batch": ingested_media,
        "large": ingested_large,
        "status": delivered,
        "ses-mail": ingested_mail_of_ses,
        "ses-event": mail_delivered,
        "sendgrid-mail": ingested_mail_of_sendgrid,
    },
    "drafts": {"request": drafted},
    "outbound": {"delivery": sent},
    "attachments": {"media": fetched(events.MEDIA), "mail": fetched(events.PART)},
    "index": {"page": indexed, "messages": messages_embedded, "re-embedding": moved},
    "knowledge": {"read": document_read, "add": document_added, "re-embed": moving},
    "crawl": {"turn": crawled, "refresh": refreshed},
    "relay": {"check": swept, "schedule": swept_and_checkpointed},
    "approvals": {
        "feed": fed,
        "draft": shown,
        "attachment": downloadable,
        "approve-stale": stale,
        "undo": undone,
        "missing-key": refused(401, "unauthenticated"),
        "openapi": described,
    },
    "search": {
        "documents": found_document,
        "messages": found_message,
        "wrong-filter": refused(422, "invalid"),
    },
    "migrations": {
        "pre": upgraded,
        "post": upgraded,
        "bootstrap": founded,
        "sample": sampled,
        "vector_indexes": maintained,
        "re_embed": about_to_move,
    },
}
# What has to happen before an event makes sense.
BEFORE: dict[str, Callable[[World], None]] = {
    "undo": approve,
    "media": put_files,
    "mail": put_files,
    "turn": put_site,
    "page": put_page,
}
# Prints which packages of the layers are loaded when an event has been answered.
LISTING_START = """
import json, sys
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient as Client
answer = Client.post_invocation_result
def listing(*given):
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    print(json.dumps({"loaded": files}))
    return answer(*given)
Client.post_invocation_result = listing
"""
API_CHANNEL = {"api-message-late", "batch", "large"}
MAILS = {"ses-mail", "sendgrid-mail"}
EVENTS = [(name, file) for name in sorted(built.functions()) for file in events.cases(name)]


@pytest.mark.parametrize(
    ("function", "file"), EVENTS, ids=[f"{name}-{file.stem}" for name, file in EVENTS]
)
def test_an_event_gets_its_answer(
    function: str, file: Path, cluster: postgres.Cluster, template: str, seeded: str
) -> None:
    source = {"webhooks": None, "migrations": template}.get(function, seeded)
    if file.stem == "pre":
        source = "template0"
    with world(function, cluster, source) as made:
        if prepare := BEFORE.get(file.stem):
            prepare(made)
        answer = made.process.invoke(json.loads(file.read_text()))
        output = made.process.output()
        assert answer.error is None, output
        EXPECTED[function][file.stem](made, answer.value)
    assert [secret for secret in hidden(made.outside) if secret in output] == []
    loaded = json.loads(output.splitlines()[-1])["loaded"]
    allowed = libraries.AT_START[function] | libraries.WITH_EVENTS[function]
    if file.stem in API_CHANNEL:
        allowed |= libraries.WITH_THE_API_CHANNEL
    if file.stem == "openapi":
        allowed |= libraries.WITH_THE_DOCUMENT
    if file.stem in MAILS:
        allowed |= libraries.WITH_A_MAIL
    assert libraries.packages(built.functions()[function], loaded) <= allowed


def test_a_mail_that_sendgrid_signs_is_taken_in(cluster: postgres.Cluster) -> None:
    """Signed when it is sent: no file could hold it."""
    key, posted = SigningKey(), events.event("webhooks", "twilio-sms")
    named = ChannelKey("sendgrid", events.SENDGRID, events.ORGANIZATION)
    raw = mails.html_alone("fay@example.com", "Fay", "hello@hotrodan.example", HTML_TEXT)
    headers, body = inbound(key, raw, "fay@example.com", ["hello@hotrodan.example"])
    posted["headers"] = {name.lower(): value for name, value in headers.items()}
    posted["pathParameters"] = {"channel_key": keys.make(named, events.SECRETS["channel_key"])}
    posted["body"] = base64.b64encode(body).decode()
    with world("webhooks", cluster, None) as made:
        secret = {"parse_key": key.public}
        made.outside.secrets[f"channels/{events.SENDGRID}"] = json.dumps(secret)
        answer = made.process.invoke(posted)
        assert answer.error is None, made.process.output()
        assert answer.value["statusCode"] == 200
        loaded = json.loads(made.process.output().splitlines()[-1])["loaded"]
    (queued,) = made.outside.queued["inbound"]
    assert base64.b64decode(queued["request"]["body"]) == body
    allowed = libraries.AT_START["webhooks"] | libraries.WITH_EVENTS["webhooks"]
    found = libraries.packages(built.functions()["webhooks"], loaded)
    assert found <= allowed | libraries.WITH_ECDSA


def hidden(around: Outside) -> list[str]:
    """What no log may hold: every secret, and the parts of those that are JSON."""
    values = [text for text in around.secrets.values() if text.startswith("{")]
    inside = [str(value) for text in values for value in json.loads(text).values()]
    parts = [value for value in inside if "password" in value or "token" in value]
    return [*around.secrets.values(), *parts, events.KEY_SECRET]
