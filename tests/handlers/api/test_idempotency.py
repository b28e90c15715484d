"""A POST that is sent again takes effect once and is answered alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy.pool import PoolProxiedConnection

from countersign.channels.tables import Delivery
from countersign.conversations.tables import Conversation, Message
from countersign.drafting import composing, revision
from countersign.drafting.tables import Draft
from countersign.identity.access import Access
from countersign.platform import idempotency
from countersign.platform.db import Database, engine
from countersign.platform.ids import new_id
from countersign.platform.outbox import Outbox
from countersign.platform.tables import IdempotencyKey
from functions.approvals import app
from tests import world
from tests.conftest import TestDatabase
from tests.handlers.api.client import Answer, Api, Story, issue

TEXT = {"text": "Call me."}


@pytest.fixture
def path(story: Story) -> str:
    """Where messages of a conversation are composed."""
    return f"/conversations/{story.drafted()['conversation']['id']}/messages"


def post(api: Api, path: str, key: str, body: object = TEXT) -> Answer:
    return api.call("POST", path, body, headers={"Idempotency-Key": key})


def test_the_same_request_gets_the_same_answer(story: Story, api: Api, path: str) -> None:
    first, again = post(api, path, "k"), post(api, path, "k")
    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert story.path.count(Delivery) == 1
    assert len(story.path.sent.take("outbound")) == 1


def test_every_post_heeds_it(story: Story, api: Api) -> None:
    item = story.drafted()
    draft, conversation = f"/drafts/{item['draft']['id']}", item["conversation"]["id"]
    token = api.get(draft)["revision_token"]
    approval = post(api, f"{draft}/approval", "a", {"revision_token": token})
    assert post(api, f"{draft}/approval", "a", {"revision_token": token}).text == approval.text
    api.delete(f"{draft}/approval")
    rejection = post(api, f"{draft}/rejection", "b", {"reason_code": "other"})
    assert post(api, f"{draft}/rejection", "b", {"reason_code": "other"}).text == rejection.text
    request = post(api, f"/conversations/{conversation}/draft-requests", "c", None)
    again = post(api, f"/conversations/{conversation}/draft-requests", "c", None)
    assert again.text == request.text
    delivery_id = approval.json["delivery_id"]
    story.becomes(delivery_id, "unknown")
    settled = post(api, f"/deliveries/{delivery_id}/resolution", "d", {"outcome": "sent"})
    again = post(api, f"/deliveries/{delivery_id}/resolution", "d", {"outcome": "sent"})
    assert (settled.status, again.text) == (201, settled.text)


def test_without_a_key_each_request_counts(story: Story, api: Api, path: str) -> None:
    api.post(path, TEXT)
    api.post(path, TEXT)
    assert story.path.count(Delivery) == 2
    assert story.path.count(IdempotencyKey) == 0


def test_another_request_with_the_same_key_is_refused(story: Story, api: Api, path: str) -> None:
    post(api, path, "k")
    other = f"/conversations/{story.drafted('Q', conversation='c2')['conversation']['id']}/messages"
    for answer in (post(api, path, "k", {"text": "Call!"}), post(api, other, "k")):
        assert (answer.status, answer.problem) == (422, "idempotency-key-reused")
    assert story.path.count(Delivery) == 1


def test_a_request_that_failed_may_be_tried_again(story: Story, api: Api, path: str) -> None:
    refused = post(api, path, "k", {"text": "Hi", "after_message_id": str(new_id())})
    assert refused.problem == "stale"
    assert story.path.count(IdempotencyKey) == 0
    assert post(api, path, "k").status == 201


def test_a_commit_whose_answer_was_lost_is_repeated_safely(
    story: Story, api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect, settle = story.path.database.app_rw.engine.dialect, idempotency.settle
    commit = dialect.do_commit

    def lose_the_answer(connection: PoolProxiedConnection) -> None:
        commit(connection)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken:

        def settle_last(*arguments: Any) -> None:
            settle(*arguments)
            broken.setattr(dialect, "do_commit", lose_the_answer)

        broken.setattr(idempotency, "settle", settle_last)
        lost = post(api, path, "k")
    assert (lost.status, lost.problem) == (503, "unavailable")
    assert "may have taken effect" in lost.json["detail"]
    again = post(api, path, "k")
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")
    assert story.path.count(Delivery) == 1


def test_keys_of_others_do_not_matter(
    database: TestDatabase, story: Story, api: Api, path: str
) -> None:
    colleague = Api(
        issue(database, story.tenant, "conversations:write", user_id=story.tenant.user_id)
    )
    first, second = post(api, path, "k"), post(colleague, path, "k")
    assert first.json["message_id"] != second.json["message_id"]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\nb"])
def test_what_is_no_key_is_refused(story: Story, api: Api, path: str, key: str) -> None:
    assert post(api, path, key).wrong == {"header.Idempotency-Key"}
    assert story.path.count(Delivery) == 0


def test_a_key_matters_to_no_other_method(story: Story, api: Api, path: str) -> None:
    closure = path.replace("messages", "closure")
    for method in ("PUT", "DELETE", "PUT"):
        assert api.call(method, closure, headers={"Idempotency-Key": "k"}).status == 200
    assert story.types()[-3:] == [
        "conversation.closed",
        "conversation.reopened",
        "conversation.closed",
    ]


class Meanwhile:
    """Two requests at a time, each with a connection of its own, as two workers have."""

    def __init__(self, database: TestDatabase, patch: pytest.MonkeyPatch) -> None:
        self._stores = [Database(engine(database.url("app_rw"))) for _ in range(2)]
        self._local = threading.local()
        outside = app._access
        patch.setattr(app, "_access", lambda: getattr(self._local, "access", None) or outside())

    def run(self, *requests: Callable[[], Answer]) -> list[Answer]:
        def answer(store: Database, request: Callable[[], Answer]) -> Answer:
            self._local.access = Access(store, Outbox(store, world.QUEUE_URLS), "messages")
            return request()

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(answer, self._stores, requests))
        for store in self._stores:
            store.engine.dispose()
        return answers


@pytest.fixture
def meanwhile(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    return Meanwhile(database, monkeypatch)


def slowly(patch: pytest.MonkeyPatch) -> None:
    """Let the first request be at its work when the second comes."""
    compose = composing.compose

    def composed_slowly(*arguments: object) -> object:
        made = compose(*arguments)  # type: ignore[arg-type]
        time.sleep(0.3)
        return made

    patch.setattr(composing, "compose", composed_slowly)


def test_a_second_request_at_the_same_time_waits_for_the_firsts_answer(
    story: Story, api: Api, path: str, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    one, two = meanwhile.run(lambda: post(api, path, "k"), lambda: post(api, path, "k"))
    assert (one.status, two.status) == (201, 201)
    assert one.text == two.text
    assert {"idempotent-replayed" in answer.headers for answer in (one, two)} == {True, False}
    assert story.path.count(Delivery) == 1


def test_two_approvals_at_the_same_time_are_one(
    story: Story, api: Api, meanwhile: Meanwhile
) -> None:
    draft_id = story.drafted()["draft"]["id"]
    with story.path.tenant_session() as session:
        draft = session.query(Draft).one()
        conversation = session.query(Conversation).one()
        token = revision.token(session, conversation, draft)

    def approve() -> Answer:
        return api.call("POST", f"/drafts/{draft_id}/approval", {"revision_token": token})

    answers = meanwhile.run(approve, approve)
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert story.path.count(Delivery) == 1
    assert story.path.count(Message, direction="outbound") == 1
