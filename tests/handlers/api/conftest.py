"""The API on a real database, its queues in memory."""

from __future__ import annotations

import pytest

from countersign.identity.access import Access
from countersign.knowledge.searching import Embedder
from countersign.models.spaces import Encoders
from countersign.platform import storage
from functions.approvals import app as approvals
from functions.knowledge import app as knowledge
from functions.search import app as search
from tests import world
from tests.conftest import TestDatabase
from tests.handlers.api.client import Api, Story
from tests.world import MemoryQueues, Path, memory_queues

__all__ = ["memory_queues"]


@pytest.fixture(autouse=True)
def access(
    database: TestDatabase, memory_queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What signs the addresses of files.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    storage._client.cache_clear()
    for app, bucket in ((approvals, "messages"), (knowledge, "documents")):
        access = Access(database.app_rw, world.outbox(database), bucket)
        monkeypatch.setattr(app, "_access", lambda access=access: access)
    embedder = Embedder(database.app_rw, Encoders(world.HashingEncoder()))
    searching = Access(database.app_rw, prepare=embedder.prepare)
    monkeypatch.setattr(search, "_access", lambda: searching)


@pytest.fixture
def story(database: TestDatabase, memory_queues: MemoryQueues) -> Story:
    """A tenant with an undo window of ten seconds, who knows about returns."""
    tenant = world.add_tenant(database, undo_seconds=10)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days. Keep the box."])
    return Story(Path(database, tenant, memory_queues))


@pytest.fixture
def api(story: Story) -> Api:
    """The API as the tenant's agent sees it."""
    return story.api
