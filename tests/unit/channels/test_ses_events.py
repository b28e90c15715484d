"""What SES tells, in both dialects."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.channels.messages import (
    DeliveryStatus,
)
from countersign.channels.providers import ses_events
from countersign.platform.errors import CountersignError, Invalid

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
ATTEMPT = UUID(int=2)

TAGS = {
    "ses:configuration-set": ["countersign"],
    "channel": ["AbC-_d"],
    "attempt": [str(ATTEMPT)],
}
FEEDBACK = "01000157c44f053b-000000"


def event(
    kind: str, name: str, detail: dict[str, Any], dialect: str = "eventType"
) -> dict[str, Any]:
    mail: dict[str, Any] = {
        "timestamp": "2026-11-22T05:40:02.012Z",
        "source": "Acme <support@acme.example>",
        "messageId": "m1",
        "destination": ["jo@example.com"],
    }
    if dialect == "eventType":
        mail["tags"] = TAGS
    return {dialect: kind, name: detail, "mail": mail}


def bounced(kind: str, part: str, *recipients: dict[str, str]) -> dict[str, Any]:
    return {
        "bounceType": kind,
        "bounceSubType": part,
        "feedbackId": FEEDBACK,
        "timestamp": "2026-11-22T05:41:02.669Z",
        "bouncedRecipients": list(recipients)
        or [
            {
                "emailAddress": "jo@example.com",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            }
        ],
    }


def told(given: dict[str, Any]) -> list[DeliveryStatus]:
    found = ses_events.read(json.dumps(given))
    assert found is not None
    return ses_events.statuses(found, NOW)


def test_a_permanent_bounce_in_both_dialects() -> None:
    (one,) = told(event("Bounce", "bounce", bounced("Permanent", "General")))
    assert one == DeliveryStatus(
        provider_event_id=f"{FEEDBACK}:jo@example.com",
        status="bounced",
        attempt_id=ATTEMPT,
        provider_message_id="m1",
        recipient="jo@example.com",
        suppress="bounced",
        error_code="5.1.1",
        error_reason="smtp; 550 5.1.1 user unknown",
        occurred_at=datetime(2026, 11, 22, 5, 41, 2, 669000, tzinfo=UTC),
    )
    feedback = event("Bounce", "bounce", bounced("Permanent", "General"), "notificationType")
    assert told(feedback) == [replace(one, attempt_id=None)]


@pytest.mark.parametrize(
    ("kind", "part", "status", "suppress"),
    [
        ("Permanent", "General", "bounced", "bounced"),
        ("Permanent", "NoEmail", "bounced", "bounced"),
        ("Permanent", "Suppressed", "failed", "bounced"),
        ("Permanent", "OnAccountSuppressionList", "failed", "bounced"),
        ("Permanent", "UnsubscribedRecipient", "failed", "unsubscribed"),
        ("Permanent", "SomethingNew", "bounced", "bounced"),
        ("Transient", "General", "failed", None),
        ("Transient", "MailboxFull", "failed", None),
        ("Transient", "MessageTooLarge", "failed", None),
        ("Undetermined", "Undetermined", "failed", None),
    ],
)
def test_only_a_permanent_bounce_suppresses(
    kind: str, part: str, status: str, suppress: str | None
) -> None:
    (one,) = told(event("Bounce", "bounce", bounced(kind, part)))
    assert (one.status, one.suppress) == (status, suppress)


def test_several_recipients_are_told_apart() -> None:
    detail = bounced(
        "Permanent",
        "General",
        {"emailAddress": "Jo <jo@example.com>", "status": "5.1.1"},
        {"emailAddress": "al@example.net"},
    )
    one, other = told(event("Bounce", "bounce", detail))
    assert (one.recipient, one.error_code) == ("jo@example.com", "5.1.1")
    assert (other.recipient, other.error_code) == ("al@example.net", "Permanent/General")
    assert one.provider_event_id != other.provider_event_id


def complaint(**changed: Any) -> dict[str, Any]:
    return {
        "complainedRecipients": [{"emailAddress": "jo@example.com"}],
        "timestamp": "2026-11-22T05:41:02.669Z",
        "feedbackId": FEEDBACK,
        "complaintSubType": None,
        "complaintFeedbackType": "abuse",
        **changed,
    }


def test_a_complaint() -> None:
    (one,) = told(event("Complaint", "complaint", complaint()))
    assert (one.status, one.suppress) == ("delivered", "complained")
    assert (one.error_code, one.error_reason) == ("complaint", "abuse")
    assert told(event("Complaint", "complaint", complaint(complaintFeedbackType="not-spam"))) == []
    (never,) = told(
        event("Complaint", "complaint", complaint(complaintSubType="OnAccountSuppressionList"))
    )
    assert (never.status, never.suppress) == ("failed", "complained")


def test_of_several_who_may_have_complained_nobody_is_suppressed() -> None:
    candidates = [{"emailAddress": "jo@example.com"}, {"emailAddress": "al@example.com"}]
    given = event("Complaint", "complaint", complaint(complainedRecipients=candidates))
    assert [one.suppress for one in told(given)] == [None, None]


def test_the_other_events() -> None:
    at = {"timestamp": "2026-11-22T05:42:00.000Z"}
    delivery = {**at, "recipients": ["jo@example.com", "al@example.net"], "smtpResponse": "250"}
    delay = {
        **at,
        "delayType": "MailboxFull",
        "delayedRecipients": [{"emailAddress": "jo@example.com", "status": "4.2.2"}],
    }
    seen = [
        [(one.status, one.recipient, one.error_code, one.provider_event_id) for one in told(given)]
        for given in (
            event("Send", "send", {}),
            event("Delivery", "delivery", delivery),
            event("Delivery", "delivery", delivery, "notificationType"),
            event("DeliveryDelay", "deliveryDelay", delay),
            event("Reject", "reject", {"reason": "Bad content"}),
            event("Rendering Failure", "failure", {"errorMessage": "Attribute x"}),
            event("Open", "open", {}),
            event("Click", "click", {}),
            event("Subscription", "subscription", {}),
            event("AmazonSnsSubscriptionSucceeded", "x", {}, "notificationType"),
        )
    ]
    brought = [
        ("delivered", "jo@example.com", None, "m1:delivered:jo@example.com"),
        ("delivered", "al@example.net", None, "m1:delivered:al@example.net"),
    ]
    assert seen == [
        [("sent", None, None, "m1:sent")],
        brought,
        brought,
        [
            (
                "deferred",
                "jo@example.com",
                "4.2.2",
                "m1:deferred:2026-11-22T05:42:00.000Z:jo@example.com",
            )
        ],
        [("failed", None, "reject", "m1:failed")],
        [("failed", None, "rendering_failure", "m1:failed")],
        [],
        [],
        [],
        [],
    ]


def test_a_clock_that_is_ahead_or_broken_does_not_date_an_event() -> None:
    for time in ("2099-01-01T00:00:00Z", "yesterday", "2026-11-22T05:00:00", None):
        given = event("Reject", "reject", {"reason": "x", "timestamp": time})
        given["mail"]["timestamp"] = time
        (one,) = told(given)
        assert one.occurred_at == NOW


def test_an_event_names_its_send() -> None:
    mine = ses_events.subject_of(event("Send", "send", {}))
    assert mine == ses_events.Subject("ses.AbC-_d", ATTEMPT, "m1")
    feedback = ses_events.subject_of(event("Delivery", "delivery", {}, "notificationType"))
    assert feedback == ses_events.Subject(None, None, "m1")
    assert ses_events.source_of(event("Send", "send", {})) == "support@acme.example"
    assert ses_events.source_of({"mail": {}}) == ""


@pytest.mark.parametrize(
    "message",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "Amazon SES set up your rule.",
    ],
)
def test_what_aws_says_when_a_topic_is_set_up_is_no_event(message: str) -> None:
    assert ses_events.read(message) is None


@pytest.mark.parametrize("message", ["", "hello", "[]", "{}", '{"eventType": 1}', "[" * 100_000])
def test_what_is_no_event_is_said_to_be_none(message: str) -> None:
    with pytest.raises(Invalid):
        ses_events.read(message)


RECEIVED = {
    "notificationType": "Received",
    "receipt": {
        "timestamp": "2015-09-11T20:32:33.936Z",
        "processingTimeMillis": 406,
        "recipients": ["r+abc@in.example.com", "bcc@in.example.com"],
        "spamVerdict": {"status": "PASS"},
        "virusVerdict": {"status": "DISABLED"},
        "spfVerdict": {"status": "PASS"},
        "dkimVerdict": {"status": "GRAY"},
        "dmarcVerdict": {"status": "FAIL"},
        "dmarcPolicy": "reject",
        "action": {
            "type": "S3",
            "topicArn": "arn:aws:sns:us-east-1:012345678912:inbound",
            "bucketName": "my-bucket",
            "objectKeyPrefix": "mail/",
            "objectKey": "mail/d6iitobk75ur44p8kdnnp7g2n800",
        },
    },
    "mail": {
        "timestamp": "2015-09-11T20:32:33.936Z",
        "source": "bounces@mailer.example.com",
        "messageId": "d6iitobk75ur44p8kdnnp7g2n800",
        "destination": ["recipient@example.com"],
        "headersTruncated": False,
        "headers": [{"name": "From", "value": "sender@example.com"}],
        "commonHeaders": {"from": ["sender@example.com"]},
    },
}


def test_a_mail_that_came_in() -> None:
    given = ses_events.read(json.dumps(RECEIVED))
    assert given is not None
    assert ses_events.is_received(given)
    found = ses_events.received(given)
    assert (found.event_id, found.bucket, found.key) == (
        "d6iitobk75ur44p8kdnnp7g2n800",
        "my-bucket",
        "mail/d6iitobk75ur44p8kdnnp7g2n800",
    )
    assert found.recipients == ("r+abc@in.example.com", "bcc@in.example.com")
    said = found.verdicts
    assert (said.spf, said.dkim, said.dmarc) == ("pass", "none", "fail")
    assert (said.spam, said.virus) == (False, None)
    assert said.envelope_from == "bounces@mailer.example.com"


@pytest.mark.parametrize("source", ["", "<>", None])
def test_a_null_return_path_is_one_however_it_is_written(source: str | None) -> None:
    mail = {**RECEIVED["mail"], "source": source}  # type: ignore[dict-item]
    assert ses_events.received({**RECEIVED, "mail": mail}).verdicts.envelope_from == ""


@pytest.mark.parametrize("missing", ["bucketName", "objectKey"])
def test_a_mail_that_is_nowhere_is_invalid(missing: str) -> None:
    given = json.loads(json.dumps(RECEIVED))
    del given["receipt"]["action"][missing]
    with pytest.raises(Invalid, match="S3 action"):
        ses_events.received(given)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=10,
)
KINDS = ["Send", "Delivery", "DeliveryDelay", "Bounce", "Complaint", "Reject", "Received", "Odd"]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["eventType", "notificationType"]),
    st.dictionaries(
        st.sampled_from(["mail", "bounce", "complaint", "delivery", "deliveryDelay", "receipt"]),
        JSON
        | st.dictionaries(
            st.sampled_from(
                ["messageId", "tags", "timestamp", "bouncedRecipients", "complainedRecipients",
                 "feedbackId", "bounceType", "recipients", "action", "source", "spamVerdict"]
            ),
            JSON | st.just([{"emailAddress": "a@b"}]),
        ),
    ),
)  # fmt: skip
def test_nothing_but_typed_errors(kind: str, dialect: str, rest: dict[str, Any]) -> None:
    given = {**rest, dialect: kind}
    for read in (lambda: told(given), lambda: ses_events.received(given)):
        with suppress(CountersignError):
            read()
