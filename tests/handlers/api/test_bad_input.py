"""What is not of the shape that is asked for gets a clear 4xx, and nothing happens."""

from __future__ import annotations

import json
import string
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from countersign.channels.tables import Delivery
from countersign.drafting import api as whole
from countersign.platform.http import STATUS, raw_body
from countersign.platform.operations import MAX_BODY_BYTES
from countersign.platform.schemas import Query
from countersign.platform.tables import IdempotencyKey
from tests.handlers.api.client import Answer, Api, Story, event, send

KNOWN = set(STATUS.values()) - {503}


@pytest.fixture
def path(story: Story) -> str:
    """A draft that waits to be approved."""
    return f"/drafts/{story.drafted()['draft']['id']}/approval"


@pytest.fixture
def body(api: Api, path: str) -> dict[str, Any]:
    """A body that would approve it."""
    draft = api.get(path.removesuffix("/approval"))
    return {"revision_token": draft["revision_token"]}


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"", "body"),
        (b" ", "body"),
        (b"{", "body"),
        (b"null", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"revision_token=x", "body"),
        (b"\xff\xfe", "body"),
        (b'{"revision_token": "\xff"}', "body"),
        (b'{"revision_token": "\\ud800"}', "body"),
        (b'{"revision_token": "x", "final_text": "\\udfff"}', "body"),
        (b"\xef\xbb\xbf{}", "body"),
        (b"[" * 100_000, "body"),
        (b'{"revision_token": ' + b"1" * 10_000 + b"}", "body"),
        (b'{"revision_token": "x", "final_text": NaN}', "final_text"),
        (b"{}", "revision_token"),
        (b'{"revision_token": null}', "revision_token"),
        (b'{"revision_token": 1}', "revision_token"),
        (b'{"revision_token": ["x"]}', "revision_token"),
        (b'{"revision_token": ""}', "revision_token"),
        (as_bytes({"revision_token": "x" * 501}), "revision_token"),
        (b'{"revision_token": "x", "final_txt": "Hi"}', "final_txt"),
        (b'{"revision_token": "x", "final_text": ""}', "final_text"),
        (b'{"revision_token": "x", "final_text": " \\n\\u00a0\\u3000 "}', "final_text"),
        (b'{"revision_token": "x", "final_text": "a\\u0000b"}', "final_text"),
        (b'{"revision_token": "x", "final_text": "a\\u0007b"}', "final_text"),
        (as_bytes({"revision_token": "x", "final_text": "x" * 16_001}), "final_text"),
        (b'{"revision_token": "x", "notes": "a\\u0000b"}', "notes"),
        (as_bytes({"revision_token": "x", "notes": "x" * 2_001}), "notes"),
    ],
)
def test_a_body_of_another_shape_is_refused_and_the_place_is_named(
    story: Story, api: Api, path: str, raw: bytes, where: str
) -> None:
    answer = api.call("POST", path, raw=raw, encoded=True)
    assert answer.wrong == {where}
    assert story.path.count(Delivery) == 0


def test_a_body_in_a_list_approves_nothing(
    story: Story, api: Api, path: str, body: dict[str, Any]
) -> None:
    assert api.call("POST", path, [body]).wrong == {"body"}
    assert story.path.count(Delivery) == 0


def test_a_body_may_come_as_base64_or_as_text(api: Api, path: str, body: dict[str, Any]) -> None:
    text = json.dumps({**body, "final_text": "Größe 🙂"}, ensure_ascii=False).encode()
    assert api.call("POST", path, raw=text, encoded=True).status == 201
    api.delete(path)
    assert api.call("POST", path, raw=text, encoded=False).status == 201


def test_what_is_not_base64_or_not_text_is_refused(story: Story, path: str) -> None:
    headers = {"authorization": f"Bearer {story.tenant.key}"}
    made = event("POST", f"/v1{path}", headers, b"{}")
    for body, encoded in (("e30", True), ("!", True), ("ÿ", True), ("\ud800", False)):
        answer = send({**made, "body": body, "isBase64Encoded": encoded})
        assert (answer.status, answer.problem) == (422, "invalid")


def test_a_body_that_is_too_large_is_refused(api: Api, path: str, body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    fits = text + b" " * (MAX_BODY_BYTES - len(text))
    answer = api.call("POST", path, raw=fits + b" ")
    assert (answer.status, answer.problem) == (413, "too-large")
    assert str(MAX_BODY_BYTES) in answer.json["detail"]
    assert api.call("POST", path, raw=fits).status == 201


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        (None, 201),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain", 415),
        ("application/jsonp", 415),
    ],
)
def test_only_json_is_taken(
    story: Story, path: str, body: dict[str, Any], content_type: str | None, status: int
) -> None:
    headers = {"authorization": f"Bearer {story.tenant.key}"}
    if content_type:
        headers["Content-Type"] = content_type
    answer = send(event("POST", f"/v1{path}", headers, json.dumps(body).encode()))
    assert answer.status == status
    if status == 415:
        assert answer.problem == "unsupported-media-type"


@pytest.mark.parametrize(
    "id_",
    [
        "x",
        "1",
        "018f0000000070008000000000000000",
        "{018f0000-0000-7000-8000-000000000000}",
        "urn:uuid:018f0000-0000-7000-8000-000000000000",
        "018f0000-0000-7000-8000-00000000000g",
        "018f0000-0000-7000-8000-000000000000\n",
        "٠18f0000-0000-7000-8000-000000000000",
        "..",
        "%00",
    ],
)
def test_what_is_no_uuid_is_refused(api: Api, id_: str) -> None:
    assert api.call("GET", f"/drafts/{id_}").wrong == {"path.draft_id"}
    assert api.call("PUT", f"/conversations/{id_}/closure").wrong == {"path.conversation_id"}


def test_an_id_may_be_written_in_capitals(api: Api, path: str) -> None:
    path = path.removesuffix("/approval")
    prefix, _, id_ = path.rpartition("/")
    assert api.get(f"{prefix}/{id_.upper()}") == api.get(path)


def test_many_faults_are_told_of_by_twenty(api: Api, path: str) -> None:
    answer = api.call("POST", path, {f"field{number}": 1 for number in range(1000)})
    assert len(answer.wrong) == 20
    assert len(answer.text) < 5000


@pytest.mark.parametrize("reason", ["", "wrong", "WRONG_FACTS", None, 1])
def test_an_unknown_reason_is_refused(api: Api, path: str, reason: object) -> None:
    answer = api.call("POST", path.replace("approval", "rejection"), {"reason_code": reason})
    assert answer.wrong == {"reason_code"}


def test_an_unknown_outcome_is_refused(story: Story, api: Api) -> None:
    _, made = story.approved()
    path = f"/deliveries/{made['delivery_id']}/resolution"
    assert api.call("POST", path, {"outcome": "delivered"}).wrong == {"outcome"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(string.printable), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["revision_token", "final_text", "notes", "reason_code", "text", "outcome"]),
    st.sampled_from(["other", "sent", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]) | JSON,
    max_size=4,
)
TAKING_BODIES = [
    operation for operation in whole.everything() if operation.method in ("POST", "PUT")
]
ALL = list(whole.OPERATIONS)
PATIENT = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)


def answered_well(answer: Answer) -> None:
    if answer.status >= 400:
        assert answer.status in KNOWN
        assert answer.problem


@PATIENT
@given(data=st.data())
def test_no_body_whatever_is_our_fault(story: Story, api: Api, data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(TAKING_BODIES))
    raw = data.draw(
        st.binary(max_size=200) | JSON.map(as_bytes) | FIELDS.map(as_bytes), label="body"
    )
    headers = data.draw(st.dictionaries(st.just("Idempotency-Key"), st.text(), max_size=1))
    path = operation.path.removeprefix("/v1").format(**story.ids)
    answered_well(api.call(operation.method, path, raw=raw, headers=headers, encoded=True))


@PATIENT
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", ""]),
    path=st.text(max_size=80) | st.sampled_from([operation.path[3:] for operation in ALL]),
    query=st.dictionaries(st.sampled_from(["limit", "cursor", "order", "x"]), st.text()),
    headers=st.dictionaries(st.text(string.ascii_letters, min_size=1), st.text()),
)
def test_no_address_query_or_header_whatever_is_our_fault(
    api: Api, method: str, path: str, query: dict[str, str], headers: dict[str, str]
) -> None:
    answered_well(api.call(method, path, query=query, headers=headers))


INTEGERS = [
    (operation, name)
    for operation in whole.everything()
    for shape in operation.hints.values()
    if isinstance(shape, type) and issubclass(shape, Query)
    for name, field in shape.model_fields.items()
    if int in (field.annotation, *get_args(field.annotation))
]


def test_no_number_in_a_query_is_our_fault(story: Story, api: Api) -> None:
    assert INTEGERS
    for operation, name in INTEGERS:
        path = operation.path.removeprefix("/v1").format(**story.ids)
        for number in (2**31 - 1, 2**31, 2**63, 10**20):
            answered_well(api.call(operation.method, path, query={name: str(number)}))


def test_a_refused_request_takes_no_idempotency_key(story: Story, api: Api, path: str) -> None:
    api.call("POST", path, {}, headers={"Idempotency-Key": "k"})
    assert story.path.count(IdempotencyKey) == 0


def test_bodies_are_read_as_they_were_sent() -> None:
    assert raw_body({"body": "/w==", "isBase64Encoded": True}) == b"\xff"
    assert raw_body({"body": "ÿ", "isBase64Encoded": False}) == "ÿ".encode()
    assert raw_body({}) == b""
