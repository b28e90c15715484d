"""Nothing that people say, where they are, or that opens a door is ever logged.

The functions run as they are deployed, at their most talkative. What they call answers errors that
repeat all that it was sent, over HTTP on 127.0.0.1, and the database refuses rows that it quotes.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import URL, Engine
from standardwebhooks import Webhook

from countersign.channels.keys import ChannelKey, make
from countersign.platform import clock, db, secrets
from countersign.platform.log import logger, redact
from tests import world
from tests.conftest import PASSWORDS, TestDatabase
from tests.handlers.api.client import Answer, Api
from tests.handlers.webhook_requests import event as webhook_event
from tests.unit.channels.peer import Handler, Peer
from tests.world import HashingEncoder, MemoryQueues, Tenant, memory_queues

__all__ = ["memory_queues"]

SAID, SOUGHT, REPLIED = "canary-said-7f3a", "canary-address-9b1c@x.example", "canary-replied-44de"
MAC_KEY, MODEL_KEY, TOKEN = "canary-mac-key", "canary-model-key-51", "canary-twilio-token-e6"
OLD_PASSWORD, ACCOUNT = "canary-database-password", "AC" + "0" * 32
SIGNING_SECRET = "whsec_" + base64.b64encode(b"canary-signing-secret-24").decode()
FORGED_KEY = "canary-forged-api-key-0000"
Told = tuple[int, dict[str, str], bytes]
"""Status, headers and body of a peer's answer."""
GONE: Told = 0, {}, b""
NONSENSE: Told = 200, {}, b"no JSON"
FUNCTIONS = ("webhooks", "ingest", "drafts", "approvals", "outbound")


class SecretsManager:
    """Secrets by name; none was ever rotated."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get_secret_value(self, SecretId: str, VersionStage: str) -> dict[str, str]:  # noqa: N803
        if VersionStage == "AWSPREVIOUS":
            missing = {"Error": {"Code": "ResourceNotFoundException"}}
            raise ClientError(missing, "GetSecretValue")  # type: ignore[arg-type]
        return {"SecretString": self.values[SecretId]}


class Echo(Handler):
    """A peer whose errors repeat what it was sent."""

    def _answer(self) -> None:
        peer: Peer = self.server.peer  # type: ignore[attr-defined]
        status, headers, body = peer.answers[0]
        if body == b"echo":
            # Where a provider puts its message: OpenAI's shape and Twilio's, all in one.
            said = f"{SAID} {REPLIED} {TOKEN} {MODEL_KEY} {self.path} {self.headers}"
            told = {"message": said, "code": 1, "error": {"message": said}}
            peer.answers[0] = (status, headers, json.dumps(told).encode())
        super()._answer()

    do_GET = do_POST = _answer  # noqa: N815


@pytest.fixture
def peer() -> Iterator[Peer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.peer = Peer(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.peer  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged: by the product at DEBUG, and by its libraries at INFO."""
    written = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", written)
    before = logger.log_level
    logger.setLevel("DEBUG")
    libraries = logging.StreamHandler(written)
    libraries.addFilter(lambda record: record.name != logger.name)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.INFO)
    root.manager._clear_cache()  # type: ignore[attr-defined]
    root.addHandler(libraries)
    yield written
    root.removeHandler(libraries)
    logger.setLevel(before)
    monkeypatch.undo()
    root.manager._clear_cache()  # type: ignore[attr-defined]


class Deployed:
    """A tenant's functions, with real settings, and the time, which is told to move."""

    def __init__(
        self, database: TestDatabase, queues: MemoryQueues, peer: Peer, patch: pytest.MonkeyPatch
    ) -> None:
        self.database, self.queues, self.peer = database, queues, peer
        self.tenant: Tenant = world.add_tenant(database)
        world.add_knowledge(database, self.tenant, ["Returns are free for 30 days."])
        self.answers: list[Answer] = []
        self._late = timedelta(0)
        patch.setattr(clock, "now", lambda: datetime.now().astimezone() + self._late)
        self.secrets = SecretsManager(self._secrets())
        patch.setattr(secrets, "_client", lambda: self.secrets)
        patch.setattr(secrets, "_cache", {})
        for name, value in self._environment().items():
            patch.setenv(name, value)
        self._engines: list[Engine] = []
        make = db.engine

        def remembered(url: URL, **options: bool) -> Engine:
            self._engines.append(make(url, **options))
            return self._engines[-1]

        patch.setattr(db, "engine", remembered)
        self._apps = {name: importlib.import_module(f"functions.{name}.app") for name in FUNCTIONS}
        self.restart()

    def restart(self) -> None:
        """Forget connections and settings, as a new process would."""
        for app in self._apps.values():
            for name in ("_ready", "_access"):
                if ready := getattr(app, name, None):
                    ready.cache_clear()
        for engine in self._engines:
            engine.dispose()
        self._engines.clear()
        db.database.cache_clear()
        secrets._cache.clear()

    def _secrets(self) -> dict[str, str]:
        channel = {"secret": SIGNING_SECRET, "url": f"{self.peer.url}/receiver"}
        twilio = {"account_sid": ACCOUNT, "auth_token": TOKEN}
        return {
            "app-rw": json.dumps({"username": "app_rw", "password": PASSWORDS["app_rw"]}),
            "channel-key": MAC_KEY,
            "model-key": MODEL_KEY,
            f"channels/{self.tenant.channel_id}": json.dumps(channel | twilio),
        }

    def _environment(self) -> dict[str, str]:
        cluster = self.database.cluster
        model = {"PROVIDER": "openai", "BASE_URL": f"{self.peer.url}/v1", "SECRET_ID": "model-key"}
        return {
            "DATABASE_HOST": str(cluster.host),
            "DATABASE_PORT": str(cluster.port),
            "DATABASE_NAME": self.database.name,
            "DATABASE_SSLMODE": "disable",
            "DATABASE_SECRET_ID": "app-rw",
            **{f"{name.upper()}_QUEUE_URL": name for name in world.QUEUE_URLS},
            "RAW_BUCKET": "raw",
            "MESSAGES_BUCKET": "messages",
            "CHANNEL_KEY_SECRET_ID": "channel-key",
            "CHANNEL_SECRETS_PREFIX": "channels/",
            "PUBLIC_URL": "https://hooks.example",
            "TWILIO_API_URL": self.peer.url,
            **{f"CHAT_{name}": value for name, value in model.items()},
            **{f"EMBEDDING_{name}": value for name, value in model.items()},
            "CHAT_MODEL": "quoter",
            "EMBEDDING_MODEL": "hasher",
            "EMBEDDING_DIMENSIONS": "64",
            "POWERTOOLS_METRICS_NAMESPACE": "Countersign",
        }

    def app(self, name: str) -> ModuleType:
        return self._apps[name]

    def told(self, number: int, signature: str | None = None) -> int:
        """A message comes to the way in; the status of its answer."""
        body = json.dumps(
            {
                "type": "message.received",
                "timestamp": "2026-01-02T03:04:05Z",
                "data": {
                    "message_id": f"m{number}",
                    "conversation_id": "c1",
                    "sender": {"address": SOUGHT, "name": SAID},
                    "subject": SAID,
                    "text": f"{SAID}: can I return it?",
                },
            }
        )
        now = clock.now()
        signed = signature or Webhook(SIGNING_SECRET).sign(f"e{number}", now, body)
        headers = {
            "webhook-id": f"e{number}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signed,
        }
        event = webhook_event(self.channel_key, body.encode(), headers)
        answer = self.app("webhooks").lambda_handler(event, None)
        self.answers.append(Answer(answer["statusCode"], answer["headers"], answer["body"]))
        return int(answer["statusCode"])

    @property
    def channel_key(self) -> str:
        tenant = self.tenant
        return make(ChannelKey("api", tenant.channel_id, tenant.organization_id), MAC_KEY)

    def work(self, function: str, queue: str | None = None) -> list[Any]:
        """Hand a queue's messages to its function, an hour later; those that failed."""
        self._late += timedelta(hours=1)
        bodies = self.queues.take(queue or function)
        assert bodies, "there is something to do"
        return self.handle(function, *map(json.dumps, bodies))

    def handle(self, function: str, *texts: str) -> list[Any]:
        records = [{"messageId": str(n), "body": text} for n, text in enumerate(texts)]
        answer = self.app(function).lambda_handler({"Records": records}, None)
        failed: list[Any] = answer["batchItemFailures"]
        for one in failed:
            self.queues.sent[function].append((json.loads(texts[int(one["itemIdentifier"])]), 0))
        return failed

    def api(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        answer = Api(key or self.tenant.key).call(method, path, body)
        self.answers.append(answer)
        return answer

    def refusing(self, table: str, column: str, text: str) -> Any:
        """For a while a constraint refuses rows, and its error quotes them whole."""
        return Refusing(self.database, table, f"position('{text}' in {column}) = 0")


class Refusing:
    def __init__(self, database: TestDatabase, table: str, condition: str) -> None:
        self._database, self._table, self._condition = database, table, condition

    def __enter__(self) -> None:
        self._run(f"ADD CONSTRAINT canary CHECK ({self._condition}) NOT VALID")

    def __exit__(self, *_: object) -> None:
        self._run("DROP CONSTRAINT canary")

    def _run(self, change: str) -> None:
        with self._database.connect() as owner:
            owner.execute(f"ALTER TABLE {self._table} {change}")


@pytest.fixture
def deployed(
    database: TestDatabase,
    memory_queues: MemoryQueues,
    peer: Peer,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployed]:
    made = Deployed(database, memory_queues, peer, monkeypatch)
    yield made
    made.restart()


def test_nothing_that_fails_on_the_path_is_logged_with_a_secret_or_with_what_was_said(
    deployed: Deployed, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    take_in(deployed)
    draft(deployed)
    approve(deployed)
    send_by_the_api_channel(deployed)
    send_by_twilio(deployed)
    every = log.getvalue() + "".join(capfd.readouterr())
    for failure in (
        "a webhook was refused",
        "a webhook did not take effect",
        "violates check constraint",
        "a queue message failed",
        "the database refused a password",
        "what a request needs does not answer",
        "a request failed",
        "a delivery was worked on",
        "UnknownSends",
        "INSERT INTO messages",
    ):
        assert failure in every
    refused = [answer.text for answer in deployed.answers if answer.status >= 400]
    assert len(refused) == 6
    for what, canary in canaries(deployed).items():
        assert canary not in every, f"{what} is logged"
        assert canary not in " ".join(refused), f"{what} is answered"


def canaries(deployed: Deployed) -> dict[str, str]:
    tenant = deployed.tenant
    return {
        "a customer's text": SAID,
        "a customer's address": SOUGHT,
        "a reply": REPLIED,
        "an API key": tenant.key.split("_", 2)[2],
        "a refused API key": FORGED_KEY,
        "a channel's signing secret": SIGNING_SECRET.removeprefix("whsec_"),
        "a channel's key": deployed.channel_key.split(".")[1],
        "the key of channels' keys": MAC_KEY,
        "Twilio's token": TOKEN,
        "Twilio's authorization": base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode(),
        "a model's key": MODEL_KEY,
        "a database password": PASSWORDS["app_rw"],
        "a refused database password": OLD_PASSWORD,
    }


def take_in(deployed: Deployed) -> None:
    assert deployed.told(1, signature=f"v1,{SIGNING_SECRET}") == 401
    assert deployed.told(1) == 200
    with deployed.refusing("messages", "body_text", SAID):
        assert deployed.work("ingest", "inbound")
    deployed.queues.sent["inbound"] = deployed.queues.sent.pop("ingest")
    assert not deployed.work("ingest", "inbound")
    assert deployed.handle("ingest", json.dumps({"text": SAID}))
    deployed.queues.take("ingest")


def draft(deployed: Deployed) -> None:
    peer = deployed.peer
    vector = HashingEncoder().embed(["returns"]).vectors[0]
    embedded: Told = 200, {}, json.dumps({"data": [{"index": 0, "embedding": vector}]}).encode()
    peer.answers = [echo(500)]
    assert not deployed.work("drafts")
    peer.answers = [embedded, echo(503)]
    assert not deployed.work("drafts")
    peer.answers = [embedded, said(f"{SAID} is no JSON")]
    assert not deployed.work("drafts")
    good = {
        "abstain": False,
        "reason": None,
        "answer": f"{REPLIED}: yes.",
        "citations": [{"source": "S1", "quote": "free for 30 days"}],
    }
    with deployed.refusing("drafts", "suggested_text", REPLIED):
        peer.answers = [embedded, said(json.dumps(good))]
        assert deployed.work("drafts")
    peer.answers = [embedded, said(json.dumps(good))]
    assert not deployed.work("drafts")
    conversation_id = deployed.api("GET", "/feed").json["items"][0]["conversation"]["id"]
    deployed.api("POST", f"/conversations/{conversation_id}/draft-requests")
    peer.answers = [echo(401)]
    assert not deployed.work("drafts")


def echo(status: int) -> Told:
    """An error that repeats what it was sent."""
    return status, {}, b"echo"


def said(text: str) -> Told:
    """A chat completion."""
    choice = {"finish_reason": "stop", "message": {"content": text}}
    return 200, {}, json.dumps({"choices": [choice]}).encode()


def approve(deployed: Deployed) -> None:
    forged = "_".join([*deployed.tenant.key.split("_", 2)[:2], FORGED_KEY])
    assert deployed.api("GET", "/feed", key=forged).status == 401
    right = deployed.secrets.values["app-rw"]
    wrong = json.dumps({"username": "app_rw", "password": OLD_PASSWORD})
    deployed.secrets.values["app-rw"] = wrong
    deployed.restart()
    assert deployed.api("GET", "/feed").status == 503
    deployed.secrets.values["app-rw"] = right
    deployed.restart()
    path = f"/drafts/{deployed.api('GET', '/feed').json['items'][0]['draft']['id']}"
    token = deployed.api("GET", path).json["revision_token"]
    body = {"revision_token": token, "final_text": REPLIED, "notes": SAID}
    with deployed.refusing("messages", "body_text", REPLIED):
        assert deployed.api("POST", f"{path}/approval", body).status == 500
    assert deployed.api("POST", f"{path}/approval", {**body, "final_text": 1}).status == 422
    assert deployed.api("POST", f"{path}/approval", body).status == 201
    assert deployed.api("POST", f"{path}/approval", body).status == 409


def send_by_the_api_channel(deployed: Deployed) -> None:
    for answer in (echo(401), echo(500), GONE, echo(429)):
        deployed.peer.answers = [answer]
        assert not deployed.work("outbound")
    deployed.peer.answers = [echo(400)]
    with deployed.refusing("deliveries", "reason", SAID):
        assert deployed.work("outbound"), "what the receiver says is in the row that is refused"
    assert not deployed.work("outbound")


def send_by_twilio(deployed: Deployed) -> None:
    with deployed.database.connect() as owner:
        owner.execute("UPDATE channels SET type = 'sms', provider = 'twilio'")
    for answer in (echo(401), echo(429), GONE):
        resend(deployed)
        deployed.peer.answers = [answer]
        deployed.work("outbound")
    for answer in (echo(500), NONSENSE, GONE):
        deployed.peer.answers = [answer]
        assert deployed.work("outbound"), "the look-up fails"


def resend(deployed: Deployed) -> None:
    """A person has what failed sent again; what is still to be tried needs no person."""
    (item,) = deployed.api("GET", "/feed").json["items"] or [{"delivery": None}]
    if item["delivery"]:
        path = f"/deliveries/{item['delivery']['id']}/resolution"
        assert deployed.api("POST", path, {"outcome": "resend"}).status == 201


def test_what_slips_into_an_error_is_redacted(log: io.StringIO) -> None:
    try:
        raise RuntimeError(f"Bearer {MODEL_KEY} is no key\nDETAIL:  Row ({SAID})\nCONTEXT: x")
    except RuntimeError:
        logger.exception(SIGNING_SECRET)
    assert "is no key" in log.getvalue()
    for canary in (MODEL_KEY, SAID, SIGNING_SECRET):
        assert canary not in log.getvalue()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("POST /webhooks/twilio.AbC-_9 was", "POST /webhooks/twilio.[redacted] was"),
        ("Authorization: Bearer abc.def-1=", "Authorization: Bearer [redacted]"),
        (f"key cs_{'0' * 32}_s3cr3t-x given", "key [redacted] given"),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "[redacted]"),
        ("postgresql://app_rw:hunter2@host/db", "postgresql://app_rw:[redacted]@host/db"),
        (r'"no\nDETAIL:  Row (a, \"b\").\nCONTEXT: x"', r'"no\nDETAIL:  [redacted]\nCONTEXT: x"'),
    ],
)
def test_what_slips_into_a_text_is_redacted(said: str, kept: str) -> None:
    assert redact(said) == kept
