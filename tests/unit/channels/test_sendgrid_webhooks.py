"""What SendGrid posts, and whether it was SendGrid that did."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.channels.messages import (
    DeliveryStatus,
    InboundMessage,
    RawMail,
    WebhookRequest,
)
from countersign.channels.providers import sendgrid
from countersign.mail.verdicts import Verdicts
from countersign.platform.errors import CountersignError, Invalid, Unauthenticated, Unavailable
from local.providers import sendgrid as simulated
from local.providers.sendgrid import SigningKey
from tools.environment import ROOT

ATTEMPT = UUID(int=2)
EVENT_KEY, PARSE_KEY = SigningKey(), SigningKey()
CREDENTIALS = {"event_key": EVENT_KEY.public, "parse_key": PARSE_KEY.public}

# The public test vector of SendGrid's own library (test/unit/test_eventwebhook.py).
OFFICIAL_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw"
    "+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
OFFICIAL_SIGNATURE = (
    "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZU"
    "AiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
)
OFFICIAL_TIMESTAMP = "1600112502"
OFFICIAL_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":'
    b'"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":'
    b'"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":'
    b'"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


def official(**changed: Any) -> WebhookRequest:
    headers = {
        "content-type": "application/json",
        "x-twilio-email-event-webhook-signature": OFFICIAL_SIGNATURE,
        "x-twilio-email-event-webhook-timestamp": OFFICIAL_TIMESTAMP,
    }
    given: dict[str, Any] = {"headers": headers, "body": OFFICIAL_BODY, **changed}
    given["headers"] = {**headers, **given["headers"]}
    return WebhookRequest(method="POST", url="", received_at=OFFICIAL_NOW, **given)


OFFICIAL_NOW = datetime.fromtimestamp(int(OFFICIAL_TIMESTAMP) + 10, UTC)


def test_sendgrids_own_vector_is_genuine() -> None:
    sendgrid.verify(official(), [{"event_key": OFFICIAL_KEY}], OFFICIAL_NOW)
    (one,) = sendgrid.parse(official())
    assert isinstance(one, DeliveryStatus)
    assert (one.status, one.suppress, one.recipient) == ("failed", "bounced", "hello@world.com")
    assert one.provider_message_id == "LRzXl_NHStOGhQ4kofSm_A"


def flipped(text: str, position: int) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[position] ^= 1
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "changed",
    [
        {"body": OFFICIAL_BODY.removesuffix(b"\r\n")},
        {"body": OFFICIAL_BODY + b" "},
        {"body": b""},
        {"headers": {"x-twilio-email-event-webhook-timestamp": "1600112503"}},
        {"headers": {"x-twilio-email-event-webhook-timestamp": "01600112502"}},
        {"headers": {"x-twilio-email-event-webhook-timestamp": ""}},
        {"headers": {"x-twilio-email-event-webhook-timestamp": "timestamp"}},
        {"headers": {"x-twilio-email-event-webhook-signature": ""}},
        {"headers": {"x-twilio-email-event-webhook-signature": "é"}},
        {"headers": {"x-twilio-email-event-webhook-signature": "AAAA"}},
        {"headers": {"x-twilio-email-event-webhook-signature": "MAYCAQACAQA="}},
        *(
            {"headers": {"x-twilio-email-event-webhook-signature": flipped(OFFICIAL_SIGNATURE, n)}}
            for n in range(71)
        ),
    ],
)
def test_whatever_is_changed_is_refused(changed: Any) -> None:
    with pytest.raises(Unauthenticated):
        sendgrid.verify(official(**changed), [{"event_key": OFFICIAL_KEY}], OFFICIAL_NOW)


def test_another_key_did_not_sign() -> None:
    with pytest.raises(Unauthenticated):
        sendgrid.verify(official(), [CREDENTIALS], OFFICIAL_NOW)


def test_the_key_before_a_rotation_counts_too() -> None:
    keys = [CREDENTIALS, {"event_key": OFFICIAL_KEY}]
    sendgrid.verify(official(), keys, OFFICIAL_NOW)


@pytest.mark.parametrize(
    ("age", "counts"),
    [(-301, False), (-299, True), (3 * 86400 - 1, True), (3 * 86400 + 1, False)],
)
def test_a_signature_counts_for_as_long_as_sendgrid_tries(age: int, counts: bool) -> None:
    at = datetime.fromtimestamp(int(OFFICIAL_TIMESTAMP), UTC) + timedelta(seconds=age)
    if counts:
        sendgrid.verify(official(), [{"event_key": OFFICIAL_KEY}], at)
    else:
        with pytest.raises(Unauthenticated, match="too far away"):
            sendgrid.verify(official(), [{"event_key": OFFICIAL_KEY}], at)


P384 = (
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEduk9hGgAlVpfx/N/MspZ0IPfYosNEkKYxmiqziSUDM7vGUWbX1Ml0eHsK4"
    "shypAkgt3gepDnDiPZ+vg39DAFMseFUQQt+jGpMb458YKWwo14KzfA+K5YEShI+rZg/vE2"
)


@pytest.mark.parametrize("key", ["not base64", "AAAA", OFFICIAL_KEY[:-8] + "AAAAAA==", P384])
def test_a_key_that_is_none_is_named(key: str) -> None:
    with pytest.raises(Unavailable, match=r"P-256"):
        sendgrid.verify(official(), [{"event_key": key}], OFFICIAL_NOW)


def test_mails_and_events_have_keys_of_their_own() -> None:
    request = inbound(b"From: a@example.com\r\n\r\nHi")
    sendgrid.verify(request, [CREDENTIALS], datetime.now(UTC))
    with pytest.raises(Unauthenticated):
        sendgrid.verify(
            request, [{**CREDENTIALS, "parse_key": EVENT_KEY.public}], datetime.now(UTC)
        )
    with pytest.raises(Unavailable, match="parse_key"):
        sendgrid.verify(request, [{"event_key": EVENT_KEY.public}], datetime.now(UTC))


def test_webhooks_do_without_what_is_heavy() -> None:
    """The library of signatures is loaded when the first one is verified."""
    heavy = ("ecdsa", "pydantic", "sqlalchemy", "boto3", "countersign.mail.reading")
    code = (
        "import sys, countersign.channels.receiving, countersign.channels.providers.sendgrid;"
        f"sys.exit(', '.join(set({heavy}) & set(sys.modules)) or None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "shared")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    assert (ended.stderr, ended.returncode) == (b"", 0)


# Inbound Parse

RAW = (
    b"Received: by mx.sendgrid.net\r\n"
    b"From: =?iso-8859-1?q?J=F6rg?= <jo@example.com>\r\n"
    b"To: support@in.example.com\r\n"
    b"Message-ID: <m2@example.com>\r\n"
    b"References: <m0@example.com> <m1@example.com>\r\n"
    b"Subject: Frage\r\n"
    b"Date: Sun, 22 Nov 2026 05:30:00 +0000\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b"Gr\xf6\xdfe?\r\n"
)
RECIPIENTS = ("r+abc@in.example.com", "bcc@in.example.com")


def inbound(
    raw: bytes, recipients: tuple[str, ...] = RECIPIENTS, sender: str = "jo@example.com"
) -> WebhookRequest:
    headers, body = simulated.inbound(PARSE_KEY, raw, sender, recipients)
    lower = {name.lower(): value for name, value in headers.items()}
    return WebhookRequest(method="POST", url="", headers=lower, body=body, received_at=RECEIVED)


RECEIVED = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)


def received(request: WebhookRequest) -> InboundMessage:
    (one,) = sendgrid.parse(request)
    assert isinstance(one, InboundMessage)
    return one


def test_a_raw_mail_of_any_charset() -> None:
    found = received(inbound(RAW))
    assert found == InboundMessage(
        provider_event_id=found.provider_event_id,
        external_id="m2@example.com",
        conversation_external_id="m0@example.com",
        sender="jo@example.com",
        sender_name="Jörg",
        recipient="r+abc@in.example.com",
        subject="Frage",
        text=found.text,
        sent_at=datetime(2026, 11, 22, 5, 30, tzinfo=UTC),
        mail=RawMail(
            raw=RAW,
            verdicts=Verdicts(
                spf="pass",
                dkim="pass",
                envelope_from="jo@example.com",
                envelope_to=RECIPIENTS,
                authenticated=("example.com",),
            ),
        ),
    )
    assert found.text.strip() == "Größe?"


def test_a_mail_is_known_by_its_bytes_and_whom_it_was_for() -> None:
    first = received(inbound(RAW)).provider_event_id
    assert received(inbound(RAW)).provider_event_id == first
    assert received(inbound(RAW, RECIPIENTS[::-1])).provider_event_id == first
    assert received(inbound(RAW, RECIPIENTS[:1])).provider_event_id != first
    assert received(inbound(RAW + b" ")).provider_event_id != first


def test_a_mail_without_an_id_or_a_date() -> None:
    found = received(inbound(b"From: jo@example.com\r\n\r\nHi\r\n"))
    assert found.external_id.startswith("sha256:")
    assert found.conversation_external_id == found.external_id
    assert found.sent_at == RECEIVED


def test_the_null_return_path_of_a_bounce() -> None:
    raw = b"From: MAILER-DAEMON@mx.example\r\nSubject: Undelivered\r\n\r\nNo.\r\n"
    found = received(inbound(raw, sender=""))
    assert found.mail is not None
    assert found.mail.verdicts.envelope_from == ""


def form(fields: dict[str, bytes], newline: bytes = b"\r\n", quote: str = "") -> WebhookRequest:
    lines = []
    for name, value in fields.items():
        disposition = b'Content-Disposition: form-data; name="%s"' % name.encode()
        lines += [b"--xYzZY", disposition, b"", value]
    body = newline.join([*lines, b"--xYzZY--", b""])
    headers = {"content-type": f"multipart/form-data; boundary={quote}xYzZY{quote}; charset=utf-8"}
    return WebhookRequest(method="POST", url="", headers=headers, body=body, received_at=RECEIVED)


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_form_however_its_lines_end(newline: bytes, quote: str) -> None:
    raw = b"From: a@example.com\nSubject: x\n\n--xYzZZ\n--\n\n"
    found = received(form({"to": b"x", "email": raw}, newline, quote))
    assert found.mail is not None
    assert found.mail.raw == raw
    assert (found.mail.verdicts.envelope_from, found.mail.verdicts.envelope_to) == (None, ())


@pytest.mark.parametrize(
    ("fields", "spf", "dkim", "spam", "passed"),
    [
        ({}, "unknown", "unknown", None, ()),
        ({"SPF": b"softfail", "dkim": b"none"}, "fail", "none", None, ()),
        (
            {"SPF": b"none", "dkim": b"{@a.example : fail, @B.example : pass}"},
            "none",
            "pass",
            None,
            ("b.example",),
        ),
        ({"spam_score": b"7.353", "SPF": b"temperror"}, "unknown", "unknown", True, ()),
        ({"spam_score": b"0.353"}, "unknown", "unknown", False, ()),
        ({"spam_score": b"\xff", "dkim": b"{@a : \xff}"}, "unknown", "unknown", None, ()),
    ],
)
def test_what_sendgrid_found_out(
    fields: dict[str, bytes], spf: str, dkim: str, spam: bool | None, passed: tuple[str, ...]
) -> None:
    found = received(form({"email": b"From: a@example.com\n\nHi", **fields})).mail
    assert found is not None
    assert found.verdicts is not None
    said = found.verdicts
    assert (said.spf, said.dkim, said.dmarc, said.spam) == (spf, dkim, "unknown", spam)
    assert said.authenticated == passed


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (form({"to": b"x"}), "lacks email"),
        (form({str(n): b"" for n in range(65)}), "more than 64"),
        (form({"email": b""}), "empty"),
        (form({"email": b"Subject: x\n\nHi"}), "who sent it"),
        (replace(form({}), headers={"content-type": "multipart/form-data"}), "boundary"),
        (official(body=b"hello"), "neither JSON"),
        (official(body=b"{}"), "no list"),
        (official(body=b"[" * 100_000), "neither JSON"),
        (official(body=b'[{"event":"bounce"}]'), "sg_event_id"),
    ],
)
def test_what_cannot_be_read_says_why(request_: WebhookRequest, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        sendgrid.parse(request_)


# Events


def told(**event: Any) -> DeliveryStatus | None:
    given = {
        "email": "jo@example.com",
        "sg_event_id": "e1",
        "sg_message_id": "m1.x",
        "timestamp": 1513299569,
        **event,
    }
    found = sendgrid.parse(official(body=json.dumps([given]).encode()))
    if not found:
        return None
    (one,) = found
    assert isinstance(one, DeliveryStatus)
    return one


def dropped(reason: str) -> dict[str, str]:
    return {"event": "dropped", "reason": reason}


@pytest.mark.parametrize(
    ("event", "status", "suppress", "code"),
    [
        ({"event": "processed"}, "sent", None, None),
        ({"event": "deferred", "response": "400"}, "deferred", None, "deferred"),
        ({"event": "delivered", "response": "250 OK"}, "delivered", None, None),
        ({"event": "bounce", "type": "bounce", "status": "5.0.0"}, "bounced", "bounced", "5.0.0"),
        ({"event": "bounce", "type": "blocked", "status": "5.7.1"}, "bounced", None, "5.7.1"),
        ({"event": "bounce", "type": "blocked"}, "bounced", None, "blocked"),
        ({"event": "bounce", "type": "expired"}, "bounced", None, "expired"),
        (dropped("Bounced Address"), "failed", "bounced", "dropped"),
        (dropped("Invalid"), "failed", "bounced", "dropped"),
        (dropped("Unsubscribed Address"), "failed", "unsubscribed", "dropped"),
        (dropped("Spam Reporting Address"), "failed", "complained", "dropped"),
        (dropped("Spam Content"), "failed", None, "dropped"),
        (dropped("Recipient List over Package Quota"), "failed", None, "dropped"),
        ({"event": "spamreport"}, "delivered", "complained", None),
        ({"event": "unsubscribe"}, "delivered", "unsubscribed", None),
        ({"event": "group_unsubscribe", "asm_group_id": 10}, "delivered", "unsubscribed", None),
    ],
)  # fmt: skip
def test_what_an_event_means(
    event: dict[str, Any], status: str, suppress: str | None, code: str | None
) -> None:
    one = told(**event)
    assert one is not None
    assert (one.status, one.suppress, one.error_code) == (status, suppress, code)
    assert one.provider_event_id == "e1"
    assert one.recipient == "jo@example.com"
    assert one.occurred_at == datetime(2017, 12, 15, 0, 59, 29, tzinfo=UTC)


@pytest.mark.parametrize("event", ["open", "click", "group_resubscribe", "something_new", None, 7])
def test_other_events_say_nothing(event: Any) -> None:
    assert told(event=event) is None


def test_which_send_an_event_is_about() -> None:
    one = told(event="delivered", sg_message_id="m1.filter0001.1.0", cs_attempt=str(ATTEMPT))
    assert one is not None
    assert (one.provider_message_id, one.attempt_id) == ("m1", ATTEMPT)
    late = told(event="bounce", sg_message_id=None, **{"smtp-id": "<m2.x@a>", "cs_attempt": "no"})
    assert late is not None
    assert (late.provider_message_id, late.attempt_id) == ("m2.x", None)
    assert told(event="bounce", sg_message_id=None) is None


@pytest.mark.parametrize("timestamp", [None, "soon", 1e300, -1e300, [], 32503680000])
def test_a_time_that_is_none_or_ahead_is_ours(timestamp: Any) -> None:
    one = told(event="delivered", timestamp=timestamp)
    assert one is not None
    assert one.occurred_at == OFFICIAL_NOW


@given(
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x"]),
)
def test_nothing_but_typed_errors(body: bytes, content_type: str) -> None:
    for form_ in (body, b"\r\n--x\r\n" + body, b'--x\r\nname="email"\r\n\r\nFrom: ' + body):
        with suppress(CountersignError):
            sendgrid.parse(official(body=form_, headers={"content-type": content_type}))


@given(
    st.dictionaries(
        st.sampled_from(["event", "sg_event_id", "timestamp", "reason", "type", "smtp-id"]),
        st.none() | st.integers() | st.text(max_size=9) | st.sampled_from(["bounce", "dropped"]),
    )
)
def test_no_event_raises_anything_else(event: dict[str, Any]) -> None:
    with suppress(CountersignError):
        sendgrid.parse(official(body=json.dumps([event, "x", None]).encode()))
