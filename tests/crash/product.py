"""The product's real handlers, run as Lambda would: a process each, warm until it crashes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

from countersign.channels.providers import ses, smtp
from countersign.knowledge import indexing, moving
from countersign.platform import calls, db, queues, secrets, storage
from countersign.platform.settings import load
from tests.conftest import TestDatabase
from tests.crash.edges import Edges, Process
from tests.crash.ground import PUBLIC_URL
from tests.crash.outside import Outside
from tests.crash.postoffice import Talk

ENVIRONMENT = {
    "POWERTOOLS_METRICS_NAMESPACE": "Countersign",
    "PUBLIC_URL": PUBLIC_URL,
    "DATABASE_SSLMODE": "disable",
    "INBOUND_QUEUE_URL": "inbound",
    "DRAFTS_QUEUE_URL": "drafts",
    "OUTBOUND_QUEUE_URL": "outbound",
    "ATTACHMENTS_QUEUE_URL": "attachments",
    "INDEX_QUEUE_URL": "index",
    "CRAWL_QUEUE_URL": "crawl",
    "RELAY_QUEUE_URL": "relay",
    "RAW_BUCKET": "raw",
    "MESSAGES_BUCKET": "messages",
    "AUDIT_BUCKET": "audit",
    "DOCUMENTS_BUCKET": "documents",
    "CHANNEL_KEY_SECRET_ID": "channel-key",
    "CHANNEL_SECRETS_PREFIX": "channels/",
    "TWILIO_API_URL": "https://twilio.example",
    "SENDGRID_API_URL": "https://sendgrid.example",
    "CHAT_PROVIDER": "openai",
    "CHAT_MODEL": "quoter",
    "CHAT_BASE_URL": "https://model.example/v1",
    "EMBEDDING_PROVIDER": "openai",
    "EMBEDDING_MODEL": "hasher",
    "EMBEDDING_BASE_URL": "https://model.example/v1",
    "EMBEDDING_DIMENSIONS": "64",
    "PREVIOUS_EMBEDDING_PROVIDER": "openai",
    "PREVIOUS_EMBEDDING_MODEL": "older",
    "PREVIOUS_EMBEDDING_BASE_URL": "https://model.example/v1",
    "PREVIOUS_EMBEDDING_DIMENSIONS": "32",
}
ROLES = {
    "webhooks": None,
    "ingest": "app_rw",
    "drafts": "app_rw",
    "approvals": "app_rw",
    "outbound": "app_rw",
    "attachments": "app_rw",
    "knowledge": "app_rw",
    "index": "app_rw",
    "relay": "app_system",
}
"""The functions, and whom they enter the database as."""


class Product:
    """The functions on the edges. `outside` is what they call, anew for each run."""

    def __init__(self, database: TestDatabase, edges: Edges, patch: pytest.MonkeyPatch) -> None:
        self.outside: Outside
        self._edges, self._patch = edges, patch
        self._processes: dict[str, Process] = {}
        self._apps = {name: importlib.import_module(f"functions.{name}.app") for name in ROLES}
        self._set_environment(database)
        self._replace_outside()

    def _set_environment(self, database: TestDatabase) -> None:
        where = {
            "DATABASE_HOST": str(database.cluster.host),
            "DATABASE_PORT": str(database.cluster.port),
            "DATABASE_NAME": database.name,
        }
        for name, value in (ENVIRONMENT | where).items():
            self._patch.setenv(name, value)

    def _replace_outside(self) -> None:
        replace = self._patch.setattr
        replace("psycopg.connect", self._edges.connect)
        replace("countersign.platform.clock.now", lambda: self.outside.clock.now())
        replace(queues, "_client", lambda: self.outside.queues)
        replace(secrets, "_client", lambda: self.outside.secrets)
        replace(storage, "_client", lambda: self.outside.buckets)
        replace(calls, "_pool", lambda: self)
        replace(ses, "_client", lambda region: self.outside.ses)
        replace("socket.create_connection", self._connect)
        # So that few passages take several batches.
        replace(indexing, "BATCH", 2)
        replace(moving, "BATCH", 2)

    def request(self, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        """What processes keep as their pool of HTTP connections."""
        return self.outside.internet.request(*args, **options)

    def _connect(self, *args: Any, **options: Any) -> Talk:
        return self.outside.mail_server.connect(*args, **options)

    def begin(self, outside: Outside) -> None:
        """Begin a run with warm processes, which know no secrets and no mail server yet."""
        self.outside = outside
        for name in ROLES:
            if name not in self._processes or self._processes[name].is_cut_off:
                self._processes[name] = self._cold_start(name)
        self._forget()

    def _forget(self) -> None:
        secrets._cache.clear()
        smtp._idle.clear()

    def call(self, name: str, event: dict[str, Any]) -> Any:
        """Run a handler. Raises `Crash` if its process dies, and whatever the handler raises."""
        with self._process(name):
            return self._apps[name].lambda_handler(event, None)

    @contextmanager
    def _process(self, name: str) -> Iterator[None]:
        process = self._processes.pop(name, None) or self._cold_start(name)
        try:
            with self._edges.inside(process):
                yield
        finally:
            if process.alive and name not in self._processes:
                self._processes[name] = process
            else:  # it crashed, or another was started beside it while it stalled
                process.die()

    def _cold_start(self, name: str) -> Process:
        """A new process, made ready and connected: that is not yet part of the run."""
        process, app = Process(name), self._apps[name]
        self._forget()
        if role := ROLES[name]:
            self._patch.setenv("DATABASE_SECRET_ID", role)
            # The engine stays, for what it has compiled; its connections are the new process's.
            engine = db.database(load(app.Settings)).engine
            engine.dispose()
            with self._edges.inside(process), self._edges.watching(False):
                engine.connect().close()
        for cached in vars(app).values():
            if hasattr(cached, "cache_clear") and cached.__module__ == app.__name__:
                cached.cache_clear()
                cached()
        return process

    def close(self) -> None:
        """End all processes."""
        for process in self._processes.values():
            process.die()
