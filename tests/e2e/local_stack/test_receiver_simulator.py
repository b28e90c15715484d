"""The simulated system of a customer behind an `api` channel."""

import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from standardwebhooks import Webhook

from local.http_server import Request
from local.providers.faults import Fault
from local.providers.receiver import Receiver
from local.providers.simulator import Simulator
from tests.e2e.local_stack.webhook import webhook

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
DATA = {
    "delivery_id": "01900000-0000-7000-8000-000000000001",
    "conversation_id": "order-17",
    "recipient": "kim@example.com",
    "text": "Your part has shipped.",
}


@pytest.fixture
def product() -> Iterator[tuple[str, list[Request]]]:
    """The webhook of the channel, and the status events that it got."""
    with webhook() as address:
        yield address


@pytest.fixture
def simulator(product: tuple[str, list[Request]]) -> Iterator[Simulator]:
    with Simulator(pace=0.01) as simulator:
        simulator.receivers.known["shop"] = Receiver(SECRET, f"{product[0]}/webhooks/api.key")
        yield simulator


def post(
    simulator: Simulator,
    body: bytes,
    *,
    webhook_id: str = "msg_1",
    at: datetime | None = None,
    secret: str = SECRET,
) -> urllib3.BaseHTTPResponse:
    moment = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, body.decode()),
    }
    return urllib3.request("POST", simulator.receiver_url("shop"), body=body, headers=headers)


def event(**changed: Any) -> bytes:
    return json.dumps({"type": "message.send", "timestamp": "…", "data": DATA | changed}).encode()


def test_a_message_is_taken_in_and_its_delivery_reported_with_a_signature(
    simulator: Simulator, product: tuple[str, list[Request]]
) -> None:
    assert post(simulator, event()).status == 202
    assert [message.data for message in simulator.receivers.received] == [DATA]
    request = wait_for_one(product[1])
    assert request.target == "/webhooks/api.key"
    status = Webhook(SECRET).verify(request.body, dict(request.headers))
    assert status["type"] == "message.delivered"
    assert status["data"] == {"delivery_id": DATA["delivery_id"]}


def test_a_second_message_of_the_same_id_is_known(
    simulator: Simulator, product: tuple[str, list[Request]]
) -> None:
    first, again, other = (
        post(simulator, event()),
        post(simulator, event()),
        post(simulator, event(), webhook_id="msg_2"),
    )
    assert (first.status, again.status, other.status) == (202, 200, 202)
    assert again.json() == {"duplicate": True}
    assert len(simulator.receivers.received) == 2


@pytest.mark.parametrize(
    "request_",
    [
        {"secret": "whsec_" + base64.b64encode(b"another").decode()},
        {"at": datetime.now(UTC) - timedelta(minutes=6)},
        {"at": datetime.now(UTC) + timedelta(hours=2)},
    ],
)
def test_what_is_not_signed_now_and_by_us_is_refused(
    simulator: Simulator, request_: dict[str, Any]
) -> None:
    assert post(simulator, event(), **request_).status == 401
    unsigned = urllib3.request("POST", simulator.receiver_url("shop"), body=event())
    assert unsigned.status == 401
    assert simulator.receivers.received == []


@pytest.mark.parametrize("field", ["delivery_id", "conversation_id", "recipient", "text"])
def test_each_required_field_is_required(simulator: Simulator, field: str) -> None:
    refused = post(simulator, event(**{field: None}))
    assert refused.status == 422
    assert refused.json() == {"error": f"data.{field} is missing"}


def test_other_events_and_bodies_are_refused(simulator: Simulator) -> None:
    assert post(simulator, b'{"type":"message.received"}').status == 422
    assert post(simulator, b'{"type":"message.send"}').status == 422
    assert post(simulator, b"not json").status == 400
    missing = urllib3.request("POST", simulator.receiver_url("nobody"), body=event())
    assert missing.status == 404


def test_a_delivery_can_be_made_to_fail(
    simulator: Simulator, product: tuple[str, list[Request]]
) -> None:
    simulator.order(Fault(path="/receivers/shop", statuses=("message.failed",), error_code=550))
    post(simulator, event())
    status = json.loads(wait_for_one(product[1]).body)
    assert status["type"] == "message.failed"
    assert status["data"]["error"] == {"code": "550", "reason": "ordered by a test"}


def wait_for_one(got: list[Request]) -> Request:
    deadline = time.monotonic() + 30
    while not got:
        assert time.monotonic() < deadline, "no status event within 30 s"
        time.sleep(0.01)
    return got[0]
