"""The simulated SES, asked by the SDK: it keeps raw mails, and publishes what it has to tell."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from countersign.channels.messages import DeliveryStatus
from countersign.channels.providers import ses_events
from countersign.platform import clock
from local.http_server import Request
from local.providers.faults import Fault
from local.providers.ses import ConfigurationSet, ReceiptRule, Topic
from local.providers.simulator import Simulator
from tests.e2e.local_stack.webhook import webhook

TOPIC = "arn:aws:sns:us-east-1:123456789012:mail"
RAW = b"From: Acme <support@acme.example>\r\nTo: jo@example.com\r\nSubject: Hi\r\n\r\nHi \xff.\r\n"
ATTEMPT = "0199a000-0000-7000-8000-0000000000a1"
MAIL: dict[str, Any] = {
    "FromEmailAddress": "support@acme.example",
    "Destination": {"ToAddresses": ["jo@example.com"], "CcAddresses": ["al@example.com"]},
    "Content": {"Raw": {"Data": RAW}},
    "ConfigurationSetName": "countersign-local",
    "EmailTags": [{"Name": "channel", "Value": "c-1"}, {"Name": "attempt", "Value": ATTEMPT}],
}


class Account:
    """A simulator with a domain, a configuration set and a receipt rule; what it published."""

    def __init__(self, simulator: Simulator, sns: str, got: list[Request]) -> None:
        self.simulator, self._got = simulator, got
        self.stored: dict[str, bytes] = {}
        topic = Topic(TOPIC, sns, lambda body: {"Authorization": f"signed {len(body)}"})
        simulator.ses.domains.add("acme.example")
        simulator.ses.configuration_sets["countersign-local"] = ConfigurationSet(
            topic, frozenset({"SEND", "DELIVERY", "BOUNCE"})
        )
        simulator.ses.rule = ReceiptRule("raw", self.stored.__setitem__, topic)
        self.client = boto3.client(
            "sesv2",
            endpoint_url=simulator.url,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def send(self, **change: Any) -> str:
        return str(self.client.send_email(**MAIL | change)["MessageId"])

    def told(self) -> list[dict[str, Any]]:
        """The messages published so far."""
        forms = [parse_qs(request.body.decode()) for request in self._got]
        assert all((form["Action"], form["TopicArn"]) == (["Publish"], [TOPIC]) for form in forms)
        return [json.loads(form["Message"][0]) for form in forms]

    def bring(self, recipient: str, raw: bytes = RAW) -> int:
        query = urlencode({"from": "jo@example.com", "to": recipient})
        url = f"{self.simulator.url}/_mail?{query}"
        return urllib3.request("POST", url, body=raw).status


@pytest.fixture
def account() -> Iterator[Account]:
    with webhook() as (url, got), Simulator(pace=0.01) as simulator:
        yield Account(simulator, url, got)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it did not happen within 60 s"
        time.sleep(0.01)


def test_a_raw_mail_is_kept_and_its_events_name_the_attempt(account: Account) -> None:
    message_id = account.send()
    (mail,) = account.simulator.ses.mails
    assert (mail.message_id, mail.raw) == (message_id, RAW)
    assert mail.recipients == ["jo@example.com", "al@example.com"]
    eventually(lambda: len(account.told()) == 2)
    assert [event["eventType"] for event in account.told()] == ["Send", "Delivery"]
    for event in account.told():
        assert ses_events.subject_of(event).message_id == message_id
        assert event["mail"]["tags"]["ses:configuration-set"] == ["countersign-local"]
    statuses = [each for event in account.told() for each in read(event)]
    assert [(each.status, each.recipient) for each in statuses] == [
        ("sent", None),
        ("delivered", "jo@example.com"),
        ("delivered", "al@example.com"),
    ]
    assert {str(each.attempt_id) for each in statuses} == {ATTEMPT}


def read(event: dict[str, Any]) -> list[DeliveryStatus]:
    return ses_events.statuses(event, clock.now())


def test_only_what_the_configuration_set_wants_is_told(account: Account) -> None:
    fault = Fault(statuses=("Complaint", "Bounce"), early=True)
    account.simulator.order(fault)
    account.send()
    (bounce,) = account.told()
    assert {(each.status, each.suppress) for each in read(bounce)} == {("bounced", "bounced")}
    account.simulator.order(fault)
    account.send(ConfigurationSetName="")
    assert account.told() == [bounce]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"FromEmailAddress": "support@other.example"}, "MessageRejected"),
        ({"ConfigurationSetName": "other"}, "NotFoundException"),
        ({"Destination": {"ToAddresses": []}}, "BadRequestException"),
        (
            {"Destination": {"BccAddresses": [f"{n}@example.com" for n in range(51)]}},
            "BadRequestException",
        ),
        ({"Content": {"Raw": {"Data": b" " * (40 * 1024 * 1024 + 1)}}}, "BadRequestException"),
        ({"Content": {}}, "BadRequestException"),
        ({"EmailTags": [{"Name": "channel", "Value": "ses.c"}]}, "BadRequestException"),
    ],
    ids=["sender", "set", "nobody", "many", "large", "not-raw", "tag"],
)
def test_what_the_real_one_refuses_is_refused(
    account: Account, change: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        account.send(**change)
    assert refused.value.response["Error"]["Code"] == code
    assert account.simulator.ses.mails == []


def test_faults_are_answered_in_its_shape(account: Account) -> None:
    account.simulator.order(Fault(status=429))
    with pytest.raises(ClientError) as refused:
        account.send()
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_a_mail_that_comes_in_is_stored_and_told(account: Account) -> None:
    assert account.bring("support+token@ACME.example") == 200
    (event,) = account.told()
    assert ses_events.is_received(event)
    found = ses_events.received(event)
    assert found.key.startswith("ses/")
    assert (found.bucket, account.stored) == ("raw", {found.key: RAW})
    assert found.recipients == ("support+token@ACME.example",)
    assert (found.verdicts.envelope_from, found.verdicts.spam) == ("jo@example.com", False)


def test_a_mail_for_nobody_here_is_refused(account: Account) -> None:
    assert account.bring("support@other.example") == 404
    assert account.told() == []
    assert account.stored == {}
