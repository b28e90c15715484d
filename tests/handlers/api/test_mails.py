"""Mails, as the API shows them, and to whom a person lets the answers go."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from countersign.channels.messages import RawMail
from countersign.conversations.tables import Message
from countersign.mail.verdicts import Verdicts
from tests.handlers.api.client import Api, Story
from tests.mailbox import Mailbox


@pytest.fixture
def mailbox(story: Story, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    """The story's channel, one of mail."""
    return Mailbox(story.path, monkeypatch)


FORGED = {"spoofed": True, "spf": "none", "dkim": "none", "dmarc": "fail"}


def test_a_reviewer_sees_that_a_sender_may_be_forged(
    api: Api, story: Story, mailbox: Mailbox
) -> None:
    raw = b"From: ada@example.com\r\nTo: support@shop.example\r\n\r\nCan I return it?\r\n"
    mailbox.takes(RawMail(raw=raw, verdicts=Verdicts(spf="none", dkim="none", dmarc="fail")))
    story.path.draft()
    (item,) = api.get("/feed")["items"]
    assert item["latest_inbound_message"]["authentication"] == FORGED
    (message,) = story.messages(item["conversation"]["id"])
    assert message["authentication"] == FORGED
    assert api.get(f"/drafts/{item['draft']['id']}")["authentication"] == FORGED


def test_only_of_a_mail_is_it_known_who_sent_it(api: Api, story: Story) -> None:
    """What a message of another channel says of itself is no finding of ours."""
    item = story.drafted()
    claimed: dict[str, Any] = {"authentication": {"spoofed": False}}
    with story.path.tenant_session() as session:
        session.execute(update(Message).values(metadata_=claimed))
    (shown,) = api.get("/feed")["items"]
    assert shown["latest_inbound_message"]["authentication"] is None
    (message,) = story.messages(item["conversation"]["id"])
    assert message["authentication"] is None
    assert api.get(f"/drafts/{item['draft']['id']}")["authentication"] is None
