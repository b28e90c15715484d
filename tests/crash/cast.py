"""The people of a run: a customer who writes, and an agent who decides. Both repeat themselves."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from zlib import crc32

from countersign.platform.ids import new_id
from local.providers.callbacks import Event
from local.providers.receiver import envelope
from local.providers.receiver import signed_headers as signed_by_receiver
from local.providers.sendgrid import inbound
from local.providers.twilio import Media
from local.providers.twilio import signed_headers as signed_by_twilio
from tests.crash import mails
from tests.crash.edges import Crash
from tests.crash.ground import (
    ACCOUNT,
    CUSTOMER,
    CUSTOMERS_ADDRESS,
    OUR_NUMBER,
    PARSE_KEY,
    SIGNING_SECRET,
    SUPPORT,
    TOKEN,
)
from tests.crash.postoffice import Taken

if TYPE_CHECKING:
    from tests.crash.stage import Stage


class Customer:
    """Writes to us; their provider repeats each message until we say that we have it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.wrote: set[str] = set()

    def writes(self, text: str, told_as: str = "") -> None:
        """`told_as` tells one message under several event ids, where the provider has such ids."""
        number = crc32(text.encode())
        match self._stage.ground.tenant.provider:
            case "twilio":
                self._stage.bring(self._by_twilio(text, number))
            case "api":
                self._stage.bring(self._api_event(text, number, told_as))
            case _:
                self.mails(text)
        self.wrote.add(text)

    def mails(
        self,
        text: str,
        *,
        message_id: str = "m1",
        answered_id: str = "",
        way: str = "",
        later: int = 0,
    ) -> None:
        """Writes a mail, which comes by SES, or to a channel of SendGrid's by Inbound Parse.

        SES may tell of it some seconds `later`.
        """
        usual = "sendgrid" if self._stage.ground.tenant.provider == "sendgrid" else "ses"
        raw = mails.of_customer(text, message_id, way or usual, answered_id)
        if (way or usual) == "ses":
            self._stage.outside.ses.bring(raw, CUSTOMERS_ADDRESS, [SUPPORT], later)
        else:
            headers, body = inbound(PARSE_KEY, raw, CUSTOMERS_ADDRESS, [SUPPORT])
            self._stage.bring(Event(self._stage.ground.tenant.webhook_url, body, lambda: headers))
        self.wrote.add(text)

    def answers(self, taken: Taken) -> None:
        """Somebody to whom the customer showed a mail of ours answers it."""
        text = "And without the box?"
        raw = mails.answer(taken, text)
        self._stage.outside.ses.bring(raw, "carl@example.org", [taken.reply_address])
        self.wrote.add(text)

    def cannot_be_reached(self, taken: Taken) -> None:
        """Their mail server sends a mail of ours back."""
        self._stage.outside.ses.bring(mails.report(taken), "", [SUPPORT])

    def _by_twilio(self, text: str, number: int) -> Event:
        tenant = self._stage.ground.tenant
        url = tenant.webhook_url
        form = {
            "MessageSid": f"SM{number:032}",
            "AccountSid": ACCOUNT,
            "From": tenant.address(CUSTOMER),
            "To": tenant.address(OUR_NUMBER),
            "Body": text,
        }
        if tenant.channel == "whatsapp":
            picture = self._picture(form["MessageSid"])
            form |= {"ProfileName": "Ada", "NumMedia": "1", **picture}
        return Event(url, urlencode(form).encode(), partial(signed_by_twilio, TOKEN, url, form))

    def _picture(self, sid: str) -> dict[str, str]:
        """The fields of a message's picture, which the provider has."""
        png = Media("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        path = self._stage.outside.internet.twilio.take_media(ACCOUNT, sid, png)
        return {"MediaUrl0": f"https://twilio.example{path}", "MediaContentType0": png.content_type}

    def _api_event(self, text: str, number: int, told_as: str) -> Event:
        data = {
            "message_id": f"m{number}",
            "conversation_id": "c1",
            "sender": {"address": CUSTOMER},
            "text": text,
        }
        body = envelope("message.received", data)
        headers = partial(signed_by_receiver, SIGNING_SECRET, body, f"e{number}{told_as}")
        return Event(self._stage.ground.tenant.webhook_url, body, headers)


class Agent:
    """Decides, by the API. A request without an answer is repeated, with its idempotency key."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def approves(self, text: str | None = None) -> None:
        """Send the pending draft, or a text of one's own instead."""
        while pending := self._rows("drafts", "status = 'pending'"):
            path = f"/v1/drafts/{pending[0]['id']}"
            decision = {"revision_token": self.reads(path)["revision_token"], "final_text": text}
            self._repeats("POST", f"{path}/approval", decision)

    def rejects(self) -> None:
        """Reject the pending draft."""
        while pending := self._rows("drafts", "status = 'pending'"):
            reason = {"reason_code": "wrong_tone"}
            self._repeats("POST", f"/v1/drafts/{pending[0]['id']}/rejection", reason)

    def writes(self, text: str) -> None:
        """Send words of one's own, without a draft."""
        for conversation in self._rows("conversations", "true"):
            path = f"/v1/conversations/{conversation['id']}/messages"
            self._repeats("POST", path, {"text": text})

    def takes_back(self) -> None:
        """Undo the decision, unless it is too late."""
        for action in self._rows("draft_actions", "revoked_at IS NULL"):
            decision = "rejection" if action["type"] == "reject" else "approval"
            self._repeats("DELETE", f"/v1/drafts/{action['draft_id']}/{decision}")

    def resolves(self) -> None:
        """Say of what stays unknown whether it went out, as the provider's own record has it."""
        for delivery in self._rows("deliveries", "status = 'unknown'"):
            went_out = delivery["payload"]["text"] in self._stage.outside.accepted()
            self._resolves(delivery, "sent" if went_out else "resend")

    def insists(self) -> None:
        """Let what was refused be sent again."""
        for delivery in self._rows("deliveries", "status = 'failed'"):
            self._resolves(delivery, "resend")

    def adds(self, text: str) -> None:
        """Make a document of a text."""
        (dataset,) = self._rows("datasets", "true")
        document = {"dataset_id": str(dataset["id"]), "title": "Manual", "text": text}
        self._repeats("POST", "/v1/documents", document)

    def uploads(self, content: bytes) -> None:
        """Give that document a file as its content, which goes straight to storage."""
        (document,) = self._rows("documents", "title = 'Manual'")
        path = f"/v1/documents/{document['id']}/upload"
        file = {"content_type": "text/markdown", "size_bytes": len(content)}
        url = json.loads(self._repeats("POST", path, file))["upload_url"]
        self._stage.outside.buckets.objects["documents", url] = content
        self._repeats("PUT", path)

    def embeds_anew(self) -> None:
        """Let all texts have vectors of the model that is configured."""
        self._repeats("POST", "/v1/re-embedding")

    def _resolves(self, delivery: dict[str, Any], outcome: str) -> None:
        path = f"/v1/deliveries/{delivery['id']}/resolution"
        self._repeats("POST", path, {"outcome": outcome})

    def reads(self, path: str) -> dict[str, Any]:
        """What the API shows there; looking is no part of what is explored."""
        with self._stage.edges.watching(False):
            shown: dict[str, Any] = json.loads(self._asks("GET", path)["body"])
        return shown

    def _rows(self, table: str, condition: str) -> list[dict[str, Any]]:
        return self._stage.ground.rows(f"SELECT * FROM {table} WHERE {condition}")

    def _repeats(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        key = str(new_id())
        answers: list[dict[str, Any]] = []

        def ask() -> None:
            answers.append(self._asks(method, path, body, key))

        while not answers or answers[-1]["statusCode"] >= 500:
            try:
                self._stage.do(ask)
            except Crash:
                answers.clear()
        text: str = answers[-1]["body"]
        return text

    def _asks(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self._stage.ground.tenant.api_key}"}
        event = {
            "requestContext": {"requestId": str(new_id()), "http": {"method": method}},
            "rawPath": path,
            "headers": {**headers, "idempotency-key": key} if key else headers,
            "body": json.dumps(body) if body else "",
        }
        is_knowledge = path.startswith(("/v1/documents", "/v1/re-embedding"))
        function = "knowledge" if is_knowledge else "approvals"
        answer: dict[str, Any] = self._stage.product.call(function, event)
        return answer
