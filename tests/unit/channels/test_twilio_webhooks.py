"""Twilio's requests to us; its own `RequestValidator` signs, and says what must be refused."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from countersign.channels.messages import DeliveryStatus, InboundMessage, Media, WebhookRequest
from countersign.channels.providers import twilio
from countersign.platform.errors import Invalid, Unauthenticated, Unavailable

URL = "https://hooks.example/webhooks/twilio.key"
TOKEN = "12345"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
INBOUND = {
    "MessageSid": "SM1",
    "AccountSid": "AC1",
    "From": "+15550199",
    "To": "+15550100",
    "Body": "Où est ma commande ? 🚗 a+b&c=d",
    "NumMedia": "0",
}
TEXTS = st.text(max_size=12)
FORMS = st.dictionaries(TEXTS, TEXTS, max_size=6)


class Fields(dict[str, Any]):
    """A form with repeated names, in the shape that the official validator reads."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def getall(self, name: str) -> list[str]:
        return [value for one, value in self.pairs if one == name]


def sign(url: str, form: dict[str, str], token: str = TOKEN) -> str:
    return str(RequestValidator(token).compute_signature(url, form))


def request(
    form: dict[str, str] | bytes, signature: str | None = None, url: str = URL
) -> WebhookRequest:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    headers = {} if signature is None else {"x-twilio-signature": signature}
    return WebhookRequest(method="POST", url=url, headers=headers, body=body, received_at=NOW)


def accepted(incoming: WebhookRequest, *tokens: str) -> bool:
    try:
        twilio.verify(incoming, [{"auth_token": token} for token in tokens or (TOKEN,)], NOW)
    except Unauthenticated:
        return False
    return True


@given(FORMS, st.text(min_size=1))
def test_what_twilio_signs_is_accepted(form: dict[str, str], token: str) -> None:
    assert accepted(request(form, sign(URL, form, token)), token)


@given(st.lists(st.tuples(st.sampled_from("abc"), TEXTS), max_size=6))
def test_repeated_parameters_are_signed_as_twilio_does(pairs: list[tuple[str, str]]) -> None:
    signature = sign(URL, Fields(pairs))
    assert accepted(request(urlencode(pairs).encode(), signature))


@given(FORMS.filter(bool), TEXTS, st.data())
def test_a_changed_value_is_refused(form: dict[str, str], value: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(form)))
    changed = {**form, name: value}
    assert accepted(request(changed, sign(URL, form))) == (changed == form)


@given(FORMS, FORMS)
def test_another_form_is_judged_as_twilio_judges_it(
    form: dict[str, str], other: dict[str, str]
) -> None:
    signature = sign(URL, form)
    judged = RequestValidator(TOKEN).validate(URL, other, signature)
    assert accepted(request(other, signature)) == judged


@given(st.data())
def test_a_changed_byte_of_the_body_is_refused_or_spells_the_same(data: st.DataObject) -> None:
    body = urlencode(INBOUND).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    if accepted(request(changed, sign(URL, INBOUND))):
        pairs = parse_qsl(changed.decode(), keep_blank_values=True)
        assert sign(URL, Fields(pairs)) == sign(URL, INBOUND)
        assert sorted(pairs) == sorted(INBOUND.items())


@given(st.sampled_from(sorted(INBOUND)))
def test_a_parameter_taken_away_is_refused(name: str) -> None:
    fewer = {one: value for one, value in INBOUND.items() if one != name}
    assert not accepted(request(fewer, sign(URL, INBOUND)))


@given(st.integers(len("https://hooks.example"), len(URL) - 1), st.characters(codec="ascii"))
def test_a_changed_url_is_refused(at: int, character: str) -> None:
    url = URL[:at] + character + URL[at + 1 :]
    assert accepted(request(INBOUND, sign(URL, INBOUND), url)) == (url == URL)


@pytest.mark.parametrize(
    "url", [URL + "?attempt=1", "http" + URL[5:], URL.replace("hooks", "other"), URL + "#x"]
)
def test_another_query_scheme_or_host_is_refused(url: str) -> None:
    assert not accepted(request(INBOUND, sign(URL, INBOUND), url))


@pytest.mark.parametrize(
    ("ours", "signed"),
    [
        (URL, URL.replace(".example", ".example:443")),
        (URL.replace(".example", ".example:8443"), URL),
        ("http://127.0.0.1:4566/webhooks/k", "http://127.0.0.1/webhooks/k"),
    ],
)
def test_twilio_may_sign_with_or_without_the_port(ours: str, signed: str) -> None:
    assert accepted(request(INBOUND, sign(signed, INBOUND), ours))


@given(st.text() | st.just(sign(URL, INBOUND)[:-1]) | st.just(sign(URL, INBOUND, "other")))
def test_another_signature_is_refused(signature: str) -> None:
    assert not accepted(request(INBOUND, signature))


def test_an_unsigned_request_is_refused() -> None:
    assert not accepted(request(INBOUND))


def test_the_previous_token_is_accepted_and_an_older_one_is_not() -> None:
    incoming = request(INBOUND, sign(URL, INBOUND))
    assert accepted(incoming, "new", TOKEN)
    assert not accepted(incoming, "newer", "new")


@pytest.mark.parametrize("credentials", [[], [{}], [{"auth_token": ""}], [{"auth_token": None}]])
def test_a_channel_without_a_token_accepts_nothing(credentials: list[dict[str, Any]]) -> None:
    with pytest.raises(Unavailable, match="auth_token"):
        twilio.verify(request(INBOUND, sign(URL, INBOUND, "")), credentials, NOW)


@given(st.text(max_size=200))
def test_a_json_body_is_bound_by_its_hash(body: str) -> None:
    url = f"{URL}?bodySHA256={sha256(body.encode()).hexdigest()}"
    signature = sign(url, {})
    assert RequestValidator(TOKEN).validate(url, body, signature)
    assert accepted(request(body.encode(), signature, url))
    assert not accepted(request(body.encode() + b" ", signature, url))
    assert accepted(request(b"", signature, url)) == (body == "")


def test_a_strange_hash_in_the_url_is_refused() -> None:
    url = f"{URL}?bodySHA256=%C3%A9"
    assert not accepted(request(b"{}", sign(url, {}), url))


@pytest.mark.parametrize("body", [b"\xff\xfe", b"Body=%ff", b"a=1&" * 1001])
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    pairs = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    assert not accepted(request(body, sign(URL, Fields(pairs))))


def test_a_text_message() -> None:
    assert twilio.parse(request(INBOUND)) == [
        InboundMessage(
            provider_event_id="SM1",
            external_id="SM1",
            conversation_external_id="+15550199",
            sender="+15550199",
            recipient="+15550100",
            text="Où est ma commande ? 🚗 a+b&c=d",
            sent_at=NOW,
        )
    ]


def test_a_whatsapp_message_with_pictures() -> None:
    form = {
        "MessageSid": "MM1",
        "From": "whatsapp:+15550199",
        "To": "whatsapp:+15550100",
        "Body": "",
        "NumMedia": "2",
        "MediaUrl0": "https://api.twilio.com/media/0",
        "MediaContentType0": "image/jpeg",
        "MediaUrl1": "https://api.twilio.com/media/1",
        "ProfileName": "Ann",
        "WaId": "15550199",
        "ButtonText": "",
    }
    (message,) = twilio.parse(request(form))
    assert isinstance(message, InboundMessage)
    assert message.sender == message.conversation_external_id == "whatsapp:+15550199"
    assert message.sender_name == "Ann"
    assert message.text == ""
    assert message.metadata == {"WaId": "15550199"}
    assert message.media == (
        Media("https://api.twilio.com/media/0", "image/jpeg"),
        Media("https://api.twilio.com/media/1", "application/octet-stream"),
    )


@pytest.mark.parametrize(
    ("form", "consent"),
    [
        ({"Body": " stop\n"}, "opted_out"),
        ({"Body": "OptOut"}, "opted_out"),
        ({"Body": "UNSTOP"}, "opted_in"),
        ({"Body": "Stop please"}, None),
        ({"Body": "basta", "OptOutType": "STOP"}, "opted_out"),
        ({"Body": "Hola", "OptOutType": "START"}, "opted_in"),
        ({"Body": "STOP", "OptOutType": "HELP"}, None),
        ({"Body": "STOP", "From": "whatsapp:+15550199"}, None),
        ({"Body": "ALTO", "From": "whatsapp:+15550199", "OptOutType": "STOP"}, "opted_out"),
    ],
)
def test_a_keyword_says_whether_to_write_again(form: dict[str, str], consent: str | None) -> None:
    (message,) = twilio.parse(request({**INBOUND, **form}))
    assert isinstance(message, InboundMessage)
    assert message.consent == consent


def test_a_character_that_postgres_cannot_store_is_replaced() -> None:
    (message,) = twilio.parse(request({**INBOUND, "Body": "a\0b"}))
    assert isinstance(message, InboundMessage)
    assert message.text == "a\ufffdb"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("accepted", "sent"),
        ("queued", "sent"),
        ("sending", "sent"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "delivered"),
        ("undelivered", "failed"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_status(word: str, status: Any) -> None:
    attempt = UUID(int=7)
    form = {"MessageSid": "SM2", "MessageStatus": word, "To": "+15550199"}
    assert twilio.parse(request(form, url=f"{URL}?attempt={attempt}")) == [
        DeliveryStatus(
            provider_event_id=f"SM2:{word}",
            status=status,
            attempt_id=attempt,
            provider_message_id="SM2",
            occurred_at=NOW,
        )
    ]


def test_a_failure_names_twilios_code_and_reason() -> None:
    form = {"MessageSid": "SM2", "MessageStatus": "undelivered", "ErrorCode": "30003"}
    (status,) = twilio.parse(request(form))
    assert isinstance(status, DeliveryStatus)
    assert status.error_code == "30003"
    assert status.error_reason == "See https://www.twilio.com/docs/api/errors/30003"
    (status,) = twilio.parse(request({**form, "ErrorMessage": "Unreachable handset"}))
    assert isinstance(status, DeliveryStatus)
    assert status.error_reason == "Unreachable handset"


@pytest.mark.parametrize(
    ("form", "url", "what"),
    [
        ({}, URL, "lacks MessageSid, From, To"),
        ({**INBOUND, "From": ""}, URL, "lacks From"),
        ({"MessageStatus": "sent"}, URL, "lacks MessageSid"),
        ({"MessageSid": "SM2", "MessageStatus": "lost"}, URL, "MessageStatus is none of"),
        ({"MessageSid": "S", "MessageStatus": "sent"}, URL + "?attempt=1", "attempt is not a UUID"),
        (b"\xff", URL, "not a form in UTF-8"),
    ],
)
def test_what_cannot_be_read_says_why(form: dict[str, str] | bytes, url: str, what: str) -> None:
    with pytest.raises(Invalid, match=what):
        twilio.parse(request(form, url=url))


def test_nothing_is_refused_at_the_door() -> None:
    twilio.check(request(b"\xff"))
