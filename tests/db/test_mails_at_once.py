from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from countersign.channels.messages import RawMail
from countersign.conversations.tables import Conversation
from countersign.drafting import effects
from countersign.drafting.effects import Webhook
from countersign.mail.verdicts import Verdicts
from countersign.platform.outbox import Outbox
from tests.beside import another_connection, wait_until_locked_out
from tests.conftest import TestDatabase
from tests.mailbox import SUPPORT, Mailbox, mailbox
from tests.world import QUEUE_URLS, memory_queues

__all__ = ["mailbox", "memory_queues"]


def test_strangers_who_answer_one_newsletter_at_once_do_not_meet(
    mailbox: Mailbox, database: TestDatabase
) -> None:
    assert _conversations_of_two(mailbox, database, "ada", "eve") == 2


def test_who_answers_twice_at_once_does_so_in_one_conversation(
    mailbox: Mailbox, database: TestDatabase
) -> None:
    assert _conversations_of_two(mailbox, database, "ada", "ada") == 1


def _conversations_of_two(mailbox: Mailbox, database: TestDatabase, first: str, second: str) -> int:
    """How many there are, if the second mail comes before the first is there to be seen."""
    organization_id = mailbox.path.tenant.organization_id
    one, other = _answer_of(mailbox, first, "m1"), _answer_of(mailbox, second, "m2")

    def take_in_other() -> None:
        with Outbox(beside, QUEUE_URLS).transaction(organization_id) as session:
            effects.take_effect(session, [other], mailbox.now)

    with another_connection(database) as beside, ThreadPoolExecutor(1) as pool:
        with mailbox.path.outbox.transaction(organization_id) as session:
            effects.take_effect(session, [one], mailbox.now)
            waiting = pool.submit(take_in_other)
            wait_until_locked_out(database)
        waiting.result(timeout=30)
    return len(mailbox.all(Conversation.id))


def _answer_of(mailbox: Mailbox, name: str, own_id: str) -> Webhook:
    """An answer to a newsletter of somebody else."""
    raw = (
        f"From: {name}@example.com\r\nTo: {SUPPORT}\r\nSubject: Re: News\r\n"
        f"Message-ID: <{own_id}@example.com>\r\nReferences: <news@example.net>\r\n\r\nHello\r\n"
    )
    return mailbox.told(RawMail(raw=raw.encode(), verdicts=Verdicts()))
