"""The simulated Twilio, seen through Twilio's own SDK."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode

import pytest
import urllib3
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from countersign.channels.providers import ProviderSettings, twilio
from countersign.platform.errors import NotFound, Unauthenticated
from local.providers.faults import Fault
from local.providers.simulator import Simulator
from local.providers.twilio import Account, Media
from tests.e2e.local_stack.webhook import webhook

ACCOUNT, TOKEN = "AC" + "1" * 32, "token-of-the-account"
SENDER, CUSTOMER = "+15005550006", "+14155550100"


class Redirected(TwilioHttpClient):  # type: ignore[misc]
    """Twilio's client, talking to the simulator instead of api.twilio.com."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=30, pool_connections=False)
        self.url = url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(
            method, url.replace("https://api.twilio.com", self.url), *args, **kwargs
        )


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(pace=0.01) as simulator:
        simulator.twilio.accounts[ACCOUNT] = Account(TOKEN, frozenset({SENDER}))
        yield simulator


def sdk(simulator: Simulator, token: str = TOKEN) -> Any:
    return Client(ACCOUNT, token, http_client=Redirected(simulator.url))


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.01)


def test_a_message_is_created_fetched_and_listed(simulator: Simulator) -> None:
    client = sdk(simulator)
    created = client.messages.create(to=CUSTOMER, from_=SENDER, body="Your part has shipped.")
    assert (created.status, created.direction) == ("queued", "outbound-api")
    assert created.sid.startswith("SM")
    assert len(created.sid) == 34
    assert created.date_created.tzinfo is not None

    fetched = client.messages(created.sid).fetch()
    assert (fetched.body, fetched.to, fetched.from_) == (created.body, CUSTOMER, SENDER)
    assert [each.sid for each in client.messages.list(to=CUSTOMER, from_=SENDER)] == [created.sid]


def test_a_look_up_finds_by_both_addresses_and_by_time(simulator: Simulator) -> None:
    client = sdk(simulator)
    first = client.messages.create(to=CUSTOMER, from_=SENDER, body="one")
    sid, day = first.sid, first.date_created.date()
    client.messages.create(to="+14155550199", from_=SENDER, body="one")
    now = datetime.now(UTC)

    def found(**query: Any) -> list[str]:
        return [each.sid for each in client.messages.list(to=CUSTOMER, **query)]

    assert found(date_sent_after=now - timedelta(minutes=1)) == [sid]
    assert found(date_sent_after=now + timedelta(minutes=1)) == []
    assert found(date_sent_before=now - timedelta(minutes=1)) == []
    since = f"{simulator.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json?DateSent%3E={day}"
    listed = urllib3.request(
        "GET", since, headers=urllib3.make_headers(basic_auth=f"{ACCOUNT}:{TOKEN}")
    )
    assert len(listed.json()["messages"]) == 2


def test_a_long_list_comes_in_pages(simulator: Simulator) -> None:
    client = sdk(simulator)
    for number in range(7):
        client.messages.create(to=CUSTOMER, from_=SENDER, body=f"message {number}")
    bodies = [each.body for each in client.messages.stream(page_size=3)]
    assert bodies == [f"message {number}" for number in reversed(range(7))]
    listings = [each for each in simulator.requests if each.request.method == "GET"]
    assert len(listings) == 3


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"to": ""}, 21604),
        ({"from_": ""}, 21603),
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"to": "14155550100"}, 21211),
        ({"to": "not a number"}, 21211),
        ({"from_": "Shop!"}, 21212),
        ({"to": SENDER}, 21266),
        ({"to": f"whatsapp:{CUSTOMER}"}, 21910),
        ({"to": f"whatsapp:{CUSTOMER}", "from_": "whatsapp:+15005550007"}, 63007),
        ({"from_": "+15005550007"}, 21606),
        ({"status_callback": "not a url"}, 21609),
    ],
)
def test_what_twilio_refuses_is_refused(
    simulator: Simulator, changed: dict[str, str], code: int
) -> None:
    message = {"to": CUSTOMER, "from_": SENDER, "body": "hello"} | changed
    with pytest.raises(TwilioRestException) as refused:
        sdk(simulator).messages.create(**message)
    assert (refused.value.status, refused.value.code) == (400, code)
    assert simulator.twilio.messages == []


def test_wrong_credentials_are_refused(simulator: Simulator) -> None:
    for client in (
        sdk(simulator, "another token"),
        Client("AC" + "2" * 32, TOKEN, http_client=Redirected(simulator.url)),
    ):
        with pytest.raises(TwilioRestException) as refused:
            client.messages.create(to=CUSTOMER, from_=SENDER, body="hello")
        assert (refused.value.status, refused.value.code) == (401, 20003)


def test_status_events_come_signed_and_in_order(simulator: Simulator) -> None:
    with webhook() as (url, got):
        callback = f"{url}/webhooks/twilio.key?attempt=42"
        message = {"body": "Größe 10 & ✓", "status_callback": callback}
        sid = sdk(simulator).messages.create(to=CUSTOMER, from_=SENDER, **message).sid
        eventually(lambda: len(got) == 3)
    forms = [dict(parse_qsl(request.body.decode())) for request in got]
    assert [form["MessageStatus"] for form in forms] == ["queued", "sent", "delivered"]
    for request, form in zip(got, forms, strict=True):
        assert form["MessageSid"] == form["SmsSid"] == sid
        signature = request.header("X-Twilio-Signature")
        assert RequestValidator(TOKEN).validate(callback, form, signature)
        assert not RequestValidator(TOKEN).validate(callback + "x", form, signature)
    assert sdk(simulator).messages(sid).fetch().status == "delivered"


def test_whatsapp_messages_say_so_in_their_events(simulator: Simulator) -> None:
    simulator.twilio.accounts[ACCOUNT] = Account(TOKEN)
    with webhook() as (url, got):
        addresses = {"to": f"whatsapp:{CUSTOMER}", "from_": f"whatsapp:{SENDER}"}
        sdk(simulator).messages.create(**addresses, body="hello", status_callback=url)
        eventually(lambda: len(got) == 3)
    assert parse_qs(got[0].body.decode())["ChannelPrefix"] == ["whatsapp"]


def test_a_delivery_can_be_made_to_fail(simulator: Simulator) -> None:
    simulator.order(Fault(statuses=("queued", "undelivered"), error_code=30003))
    with webhook() as (url, got):
        client = sdk(simulator)
        sid = client.messages.create(to=CUSTOMER, from_=SENDER, body="x", status_callback=url).sid
        eventually(lambda: len(got) == 2)
        last = parse_qs(got[1].body.decode())
        assert (last["MessageStatus"], last["ErrorCode"]) == (["undelivered"], ["30003"])
        assert client.messages(sid).fetch().error_code == 30003


def test_an_event_can_come_before_the_answer(simulator: Simulator) -> None:
    simulator.order(Fault(early=True, statuses=("delivered",)))
    with webhook() as (url, got):
        sdk(simulator).messages.create(to=CUSTOMER, from_=SENDER, body="x", status_callback=url)
        assert len(got) == 1
    assert [sent.status for sent in simulator.sent] == [200]


def test_throttling_and_outages_accept_nothing(simulator: Simulator) -> None:
    simulator.order(Fault(status=429, retry_after=2.5))
    simulator.order(Fault(status=503))
    url = f"{simulator.url}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    body = urlencode({"To": CUSTOMER, "From": SENDER, "Body": "hello"})
    headers = urllib3.make_headers(basic_auth=f"{ACCOUNT}:{TOKEN}")

    def send() -> urllib3.BaseHTTPResponse:
        return urllib3.request("POST", url, body=body, headers=headers, retries=False)

    throttled, broken, accepted = send(), send(), send()
    assert (throttled.status, throttled.json()["code"]) == (429, 20429)
    assert throttled.headers["Retry-After"] == "2.5"
    assert (broken.status, accepted.status) == (503, 201)
    assert len(simulator.twilio.messages) == 1


@pytest.mark.parametrize(
    ("fault", "accepted"), [(Fault(answered=False), 1), (Fault(accepted=False), 0)]
)
def test_an_answer_can_be_lost_before_or_after_it_counts(
    simulator: Simulator, fault: Fault, accepted: int
) -> None:
    simulator.order(fault)
    with pytest.raises(OSError, match="Connection aborted"):
        sdk(simulator).messages.create(to=CUSTOMER, from_=SENDER, body="hello")
    assert len(simulator.twilio.messages) == accepted
    assert simulator.requests[-1].status == 0


def test_a_fault_is_for_the_requests_that_it_names(simulator: Simulator) -> None:
    simulator.order(Fault(contains="unlucky", times=2, status=400, code=21610, message="STOP"))
    client = sdk(simulator)
    client.messages.create(to=CUSTOMER, from_=SENDER, body="lucky")
    for _ in range(2):
        with pytest.raises(TwilioRestException) as refused:
            client.messages.create(to=CUSTOMER, from_=SENDER, body="unlucky")
        assert (refused.value.code, refused.value.msg) == (21610, "Unable to create record: STOP")
    client.messages.create(to=CUSTOMER, from_=SENDER, body="unlucky")


def test_all_that_came_is_on_record_and_faults_can_be_ordered_by_http(
    simulator: Simulator,
) -> None:
    order = urllib3.request("POST", f"{simulator.url}/_faults", json={"status": 500})
    wrong = urllib3.request("POST", f"{simulator.url}/_faults", json={"stauts": 500})
    assert (order.status, wrong.status) == (200, 400)
    assert "stauts" in wrong.json()["error"]
    with pytest.raises(TwilioRestException):
        sdk(simulator).messages.create(to=CUSTOMER, from_=SENDER, body="hello")
    (recorded,) = urllib3.request("GET", f"{simulator.url}/_requests").json()["requests"]
    assert (recorded["method"], recorded["status"]) == ("POST", 500)
    assert "Body=hello" in recorded["body"]
    urllib3.request("DELETE", f"{simulator.url}/_requests")
    assert simulator.requests == []


def test_media_asks_for_credentials_and_lies_elsewhere(simulator: Simulator) -> None:
    media = Media("image/png", b"picture")
    path = simulator.twilio.take_media(ACCOUNT, "MM1", media)
    settings = ProviderSettings(twilio_api_url=simulator.url)

    def fetch(path: str, token: str = TOKEN) -> bytes:
        credentials = {"account_sid": ACCOUNT, "auth_token": token}
        return twilio.fetch(
            simulator.url + path, credentials, settings, most_bytes=100, seconds=30.0
        )

    assert fetch(path) == b"picture"
    _, stored = (recorded.request for recorded in simulator.requests)
    assert (stored.header("Authorization"), stored.query) == ("", f"right={media.right}")
    with pytest.raises(Unauthenticated):
        fetch(path, "another")
    with pytest.raises(NotFound):
        fetch(path + "0")
    assert urllib3.request("GET", simulator.url + stored.path).status == 403
