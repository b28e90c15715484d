"""What people do. An act ends at rest: nothing under way, nothing in a queue.

So acts are explored one at a time, and a flow is acts that follow each other: a message comes in
and gets its draft; the draft is approved, sent, and its provider has the last word. What came
before an act may leave a message in a queue: what was approved can be taken back for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from local.http_server import Response
from local.providers.twilio import refusal
from tests.crash.ground import CUSTOMER
from tests.crash.product import ROLES
from tests.crash.stage import Stage

MANUAL = "# Wheels\n\nTorque to nine.\n\n# Brakes\n\nBleed them.\n\n# Seat\n\nKeep it dry."
Play = Callable[[Stage], None]
JUST_LATER = 3
"""Seconds after which a mail is told of that does not come in one batch with the one before it."""
WRITING = tuple(name for name in ROLES if name not in ("knowledge", "index"))
"""What messages go through. How they are embedded is explored once: it is the same for all."""
WHOLE_WINDOW = 900
"""Seconds to undo, or of debouncing: longer than it takes a queue to bring a message again."""


@dataclass(frozen=True)
class Act:
    """An act, told in its `play`: on which of the `CHANNELS`, and what came before it.

    Of an act that differs little from another, only that is explored: the `functions` whose part in
    it is another one, and their `statements` only if their transactions are others.
    """

    play: Play
    channel: str = "sms"
    before: tuple[Play, ...] = ()
    undo_seconds: int = 0
    debounce_seconds: int = 0
    functions: Collection[str] = WRITING
    statements: bool = False
    model: str = "hasher"
    """What the organization's vectors are made by when it begins."""
    is_race: bool = False
    """Whether it has more than one right end, by who is first."""


def message(stage: Stage) -> None:
    """A customer writes, and there is a draft."""
    stage.customer.writes("Can I return my order for free?")
    stage.rest()


def large_message(stage: Stage) -> None:
    """One that goes by a bucket, for it is too large for a queue."""
    stage.customer.writes("Can I return my order for free? " * 7_000)
    stage.rest()


def told_twice(stage: Stage) -> None:
    """The provider tells of one message under two event ids."""
    stage.customer.writes("Can I return my order for free?")
    stage.customer.writes("Can I return my order for free?", told_as="again")
    stage.rest()


def burst(stage: Stage) -> None:
    """The customer goes on before there is a draft."""
    stage.customer.writes("Can I return my order for free?")
    stage.customer.writes("And without the box?")
    stage.rest()


def reply(stage: Stage) -> None:
    """The draft is approved and goes out, and its provider tells that it arrived."""
    stage.agent.approves()
    stage.rest()
    stage.agent.resolves()
    stage.rest()


def silent_reply(stage: Stage) -> None:
    """The provider never tells what became of it."""
    stage.outside.internet.silent = True
    reply(stage)


def throttled_reply(stage: Stage) -> None:
    """The provider takes it at the second try."""
    wait = (("Retry-After", "30"),)
    stage.outside.internet.answers.append(refusal(429, 20429, "Slow down", wait))
    silent_reply(stage)


def faltering_reply(stage: Stage) -> None:
    """The provider takes it, and answers that it broke."""
    stage.outside.internet.falters = True
    stage.outside.internet.answers.append(Response(500))
    silent_reply(stage)


def swept_reply(stage: Stage) -> None:
    """The queue does not take what the approval promised; later, the relay does it."""
    stage.outside.queues.refuses = {"outbound"}
    stage.agent.approves()
    stage.outside.queues.refuses = set()
    silent_reply(stage)


def refused_reply(stage: Stage) -> None:
    """The provider refuses it, and takes it when the agent insists."""
    stage.outside.internet.answers.append(refusal(400, 21606, "Not your number"))
    stage.outside.internet.silent = True
    stage.agent.approves()
    stage.rest()
    stage.agent.insists()
    stage.rest()
    stage.agent.resolves()
    stage.rest()


def own_words(stage: Stage) -> None:
    """The agent answers without the draft."""
    stage.outside.internet.silent = True
    stage.agent.writes("Do keep the box!")
    stage.rest()
    stage.agent.resolves()
    stage.rest()


def approval(stage: Stage) -> None:
    """The draft is approved, and can still be taken back."""
    stage.agent.approves("Yes.")


def rejection(stage: Stage) -> None:
    """The agent rejects the draft."""
    stage.agent.rejects()
    stage.rest()


def change_of_mind(stage: Stage) -> None:
    """The agent takes the decision back."""
    stage.agent.takes_back()
    stage.rest()


def suppression(stage: Stage) -> None:
    """Before what was approved is handed over, it turns out that nobody may write to them."""
    stage.ground.suppress(CUSTOMER)
    stage.rest()


def night(stage: Stage) -> None:
    """The relay's schedule comes, and a day's checkpoint is taken."""
    stage.schedule()
    stage.rest()


def race(stage: Stage) -> None:
    """The customer writes again just as the agent approves; the one or the other is first."""
    stage.outside.internet.silent = True
    stage.customer.writes("And without the box?")
    stage.agent.approves("Yes.")
    stage.rest()


def overtaking(stage: Stage) -> None:
    """The customer's next mail comes just as the approved reply is handed over."""
    stage.agent.approves()
    stage.customer.mails("And without the box?", message_id="m2", answered_id="m1")
    stage.rest()
    stage.agent.resolves()
    stage.rest()


def told_again(stage: Stage) -> None:
    """The provider tells of a message under another event id, just as it is taken in."""
    stage.customer.writes("Can I return my order for free?")
    stage.rest(until=stage.now() + timedelta(seconds=1))
    stage.customer.writes("Can I return my order for free?", told_as="again")
    stage.rest()


def told_both_ways(stage: Stage) -> None:
    """One mail comes by SendGrid and by SES."""
    stage.customer.mails("Can I return my order for free?")
    stage.customer.mails("Can I return my order for free?", way="ses")
    stage.rest()


def equal_ids(stage: Stage) -> None:
    """Two mails have one Message-ID, as some programs give it."""
    stage.customer.mails("Can I return my order for free?")
    stage.customer.mails("And without the box?")
    stage.rest()


def told_both_ways_at_once(stage: Stage) -> None:
    """The second way brings it just as it is taken in by the first."""
    stage.customer.mails("Can I return my order for free?")
    stage.customer.mails("Can I return my order for free?", way="ses", later=JUST_LATER)
    stage.rest()


def equal_ids_at_once(stage: Stage) -> None:
    """The second mail comes just as the first is taken in."""
    stage.customer.mails("Can I return my order for free?")
    stage.customer.mails("And without the box?", later=JUST_LATER)
    stage.rest()


def answered_reply(stage: Stage) -> None:
    """The reply is answered as soon as its provider has taken it."""
    stage.outside.post_office.then = stage.customer.answers
    reply(stage)


def bounced_reply(stage: Stage) -> None:
    """The provider tells that it arrived, and that it did not after all."""
    stage.outside.ses.tells = ("Send", "Delivery", "Bounce")
    reply(stage)


def returned_reply(stage: Stage) -> None:
    """Nobody tells what became of it but a mail server, by a mail, at once."""
    stage.outside.post_office.then = stage.customer.cannot_be_reached
    reply(stage)


def handed_over(stage: Stage) -> None:
    """The reply goes out, and nobody looks what became of it."""
    stage.agent.approves()
    stage.rest()


def throttled_mail(stage: Stage) -> None:
    """The mail server takes it at the second try."""
    stage.outside.mail_server.answers.append("451 4.7.1 Try again later")
    reply(stage)


def overtake(stage: Stage) -> None:
    """The customer writes again while the approved reply can still be taken back."""
    stage.customer.writes("And without the box?")
    stage.rest()


def document(stage: Stage) -> None:
    """The agent writes a manual."""
    stage.agent.adds(MANUAL)
    stage.rest()


def changed_document(stage: Stage) -> None:
    """Of the manual there is a file, in which one part of three differs."""
    stage.agent.uploads(MANUAL.replace("nine", "ten").encode())
    stage.rest()


def move(stage: Stage) -> None:
    """The organization moves to the space of another embedding model, just as a message is taken
    in and is about to be embedded."""
    stage.customer.writes("Can I return my order for free?")
    stage.rest(until=stage.now() + timedelta(seconds=2))
    stage.agent.embeds_anew()
    stage.rest()


def document_after_move(stage: Stage) -> None:
    """The organization moves just as a document comes."""
    stage.agent.embeds_anew()
    stage.agent.adds("Bleed the brakes.")
    stage.rest()


def move_amid_documents(stage: Stage) -> None:
    """A document comes just as the organization moves, which does just as another comes."""
    stage.agent.adds("Torque to nine.")
    document_after_move(stage)


ACTS = {
    "message by sms": Act(message, functions=tuple(ROLES), statements=True),
    "reply by sms": Act(reply, before=(message,), undo_seconds=10, statements=True),
    "message by whatsapp": Act(
        message, "whatsapp", functions=("webhooks", "ingest", "attachments"), statements=True
    ),
    "message by api": Act(large_message, "api", functions=("webhooks", "ingest"), statements=True),
    "reply by api": Act(
        reply, "api", (message,), functions=("outbound", "webhooks", "ingest"), statements=True
    ),
    "message told twice": Act(told_twice, "api", functions=("webhooks", "ingest")),
    "burst": Act(burst, debounce_seconds=WHOLE_WINDOW, functions=("ingest",), statements=True),
    "silent reply": Act(silent_reply, before=(message,), functions=("outbound", "relay")),
    "silent reply by api": Act(silent_reply, "api", (message,), functions=("outbound",)),
    "throttled reply": Act(throttled_reply, before=(message,), functions=("outbound",)),
    "faltering reply": Act(faltering_reply, before=(message,), functions=("outbound",)),
    "swept reply": Act(swept_reply, before=(message,)),
    "refused reply": Act(refused_reply, before=(message,), functions=("approvals",)),
    "own words": Act(own_words, before=(message,), functions=("approvals",), statements=True),
    "take back": Act(
        change_of_mind, before=(message, approval), undo_seconds=WHOLE_WINDOW, statements=True
    ),
    "reply after taking back": Act(
        silent_reply,
        before=(message, approval, change_of_mind),
        undo_seconds=WHOLE_WINDOW,
        functions=("approvals",),
    ),
    "rejection": Act(rejection, before=(message,), functions=("approvals",), statements=True),
    "take back rejection": Act(
        change_of_mind, before=(message, rejection), functions=("approvals",), statements=True
    ),
    "suppression": Act(
        suppression,
        before=(message, approval),
        undo_seconds=WHOLE_WINDOW,
        functions=("outbound", "drafts"),
        statements=True,
    ),
    "overtake": Act(
        overtake,
        before=(message, approval),
        undo_seconds=WHOLE_WINDOW,
        functions=("ingest", "outbound"),
        statements=True,
    ),
    "night": Act(night, before=(message,), functions=("relay",), statements=True),
    "message by ses": Act(message, "ses", functions=("ingest",), statements=True),
    "message by sendgrid": Act(message, "sendgrid", functions=("webhooks", "ingest")),
    "message both ways": Act(told_both_ways, "sendgrid", functions=("ingest",)),
    "messages of one id": Act(equal_ids, "ses", functions=("ingest",)),
    "reply by ses": Act(reply, "ses", (message,), functions=("outbound", "ingest")),
    "reply by sendgrid": Act(reply, "sendgrid", (message,), functions=("outbound", "webhooks")),
    "answered reply": Act(answered_reply, "smtp", (message,), functions=("outbound", "ingest")),
    "bounced reply": Act(bounced_reply, "ses", (message,), functions=("ingest",)),
    "returned reply": Act(returned_reply, "smtp", (message,), functions=("outbound", "ingest")),
    "document": Act(document, functions=("knowledge", "index")),
    "changed document": Act(changed_document, before=(document,), functions=("knowledge", "index")),
    "move": Act(move, before=(document,), functions=("knowledge", "index", "relay"), model="older"),
}
RACES = {
    "approval against message": Act(
        race, before=(message,), functions=("approvals", "ingest"), is_race=True
    ),
    "message against itself": Act(told_again, "api", functions=("ingest",), is_race=True),
    "mail against itself": Act(
        told_both_ways_at_once, "sendgrid", functions=("ingest",), is_race=True
    ),
    "mail against mail of its id": Act(
        equal_ids_at_once, "ses", functions=("ingest",), is_race=True
    ),
    "hand-over against mail": Act(
        overtaking, "ses", before=(message,), functions=("outbound", "ingest"), is_race=True
    ),
    "move against documents": Act(
        move_amid_documents, functions=("index",), model="older", is_race=True
    ),
}
