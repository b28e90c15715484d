"""`make demo`: five messages on five channels, from the provider to the verified record."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from local import tenants
from local.api import Api, until
from local.client import Channel, send
from local.errors import LocalError
from local.locks import exclusive
from local.probes import Probe, probe
from local.run import say, started
from local.stack import Local, stop_leftovers
from local.state import CHECKOUT, State
from local.tables import table
from local.tenants import Tenant
from local.timeline import timeline

STATE = State(CHECKOUT / ".local" / "demo")
VERIFY = CHECKOUT / "layers" / "shared" / "countersign" / "platform" / "verify.py"
HOT_ROD, NORTHWIND = "hot-rod-an", "northwind-bicycles"
# Tenant, channel, customer, message, and what the person adds to the draft before approving it.
INPUTS = (
    (HOT_ROD, "sms", "+14155550181", "How tight does an aluminium AN-6 fitting have to be?", ""),
    (HOT_ROD, "whatsapp", "+447700900181", "Do you ship to the UK, and for how much?", "\n\nMiles"),
    (HOT_ROD, "api", "sam@example.com", "I ordered the wrong fitting. Can I return it?", ""),
    (HOT_ROD, "email", "lee@example.com", "The one on the photo leaks. How do I stop a leak?", ""),
    (NORTHWIND, "email", "ola@example.com", "How long is the warranty on an aluminium frame?", ""),
)


@dataclass(frozen=True)
class User:
    """An agent of a tenant, at the API."""

    tenant: Tenant
    api: Api


@dataclass
class Case:
    """One of the messages, and what became of it; moments are in Unix seconds.

    `foreign` is of another tenant, and must see nothing of it.
    """

    owner: User
    foreign: User
    channel: Channel
    customer: str
    text: str
    addition: str
    sent_at: float = 0.0
    approved_at: float = 0.0
    conversation_id: str = ""
    draft: Mapping[str, Any] = field(default_factory=dict)
    reply: Mapping[str, Any] = field(default_factory=dict)
    export: Mapping[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    mails: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    verified: bool = False

    @property
    def title(self) -> str:
        """To whom, and by which channel."""
        return f"{self.owner.tenant.name}, {self.channel.type} by {self.channel.provider}"

    @property
    def inbound_to_draft_ms(self) -> float:
        return (_moment(self.draft["created_at"]) - self.sent_at) * 1000

    @property
    def approve_to_sent_ms(self) -> float:
        return (_moment(self.reply["delivery"]["sent_at"]) - self.approved_at) * 1000


def demo() -> None:
    """Run it, print what happened, and end with one line of JSON."""
    begun = time.monotonic()
    _forget()
    with started(STATE, pace=0.05) as local:
        local.aws.warm()
        cases = _cases(local)
        for case in cases:
            _draft(case)
        probes = [made for case in cases for made in _probe(case)]
        for case in cases:
            _approve(case)
            _deliver(case)
        probes += [made for case in cases for made in _probe(case)]
        for case in cases:
            case.verified = _verify(case, local)
            _show(case)
        _show_probes(probes)
    say(
        json.dumps(
            {
                "conversations": len({case.conversation_id for case in cases}),
                "drafts": len({case.draft["id"] for case in cases}),
                "sent": sum(case.reply["delivery"]["sent_at"] is not None for case in cases),
                "delivered": sum(_status(case) == "delivered" for case in cases),
                "audit_verified": all(case.verified for case in cases),
                "foreign_tenant_probes": len(probes),
                "foreign_tenant_rows": sum(each.rows for each in probes),
                "inbound_to_draft_p50_ms": _median(case.inbound_to_draft_ms for case in cases),
                "approve_to_sent_p50_ms": _median(case.approve_to_sent_ms for case in cases),
                "seconds": round(time.monotonic() - begun, 1),
            },
            separators=(",", ":"),
        )
    )


def _forget() -> None:
    """The demo starts from nothing, and ends what a killed one left running."""
    with exclusive(STATE.folder / "lock"):
        stop_leftovers(STATE)
        for path in STATE.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()


def _cases(local: Local) -> list[Case]:
    connected = tenants.connect(local, undo_seconds=0, debounce_seconds=0)
    users = [User(each, Api(local.gateway.url, each.api_key)) for each in connected]
    made = []
    for slug, channel, customer, text, addition in INPUTS:
        owner, foreign = sorted(users, key=lambda user: user.tenant.slug != slug)
        to = owner.tenant.channels[channel]
        made.append(Case(owner, foreign, to, customer, text, addition))
    return made


def _draft(case: Case) -> None:
    say(f"A customer writes to {case.title}: {case.text}")
    case.sent_at = time.time()
    send(case.channel, case.customer, case.text)
    item = until(lambda: _waiting(case), f"a draft for {case.customer}")
    case.conversation_id = item["conversation"]["id"]
    case.names[item["conversation"]["customer"]["person_id"]] = case.customer
    case.draft = case.owner.api.get(f"/v1/drafts/{item['draft']['id']}")


def _waiting(case: Case) -> Any:
    """The case's place in the feed once it has a draft. Raises LocalError if it will have none."""
    for item in case.owner.api.feed():
        address = item["conversation"]["customer"]["address"]
        if address.removeprefix("whatsapp:") == case.customer:
            if item["draft"]:
                return item
            if item["request"] and item["request"]["status"] in ("abstained", "failed"):
                raise LocalError(f"no draft for {case.customer}: {item['request']}")
    return None


def _approve(case: Case) -> None:
    body = {"revision_token": case.draft["revision_token"]}
    if case.addition:
        body |= {"final_text": case.draft["text"] + case.addition, "notes": "Signed by hand."}
    case.approved_at = time.time()
    case.owner.api.post(f"/v1/drafts/{case.draft['id']}/approval", body)


def _deliver(case: Case) -> None:
    case.reply = until(lambda: _delivered(case), f"the delivery to {case.customer}")
    case.names[case.reply["author"]["id"]] = case.reply["author"]["name"]
    case.export = case.owner.api.get(f"/v1/conversations/{case.conversation_id}/export")


def _delivered(case: Case) -> Any:
    timeline = case.owner.api.get(f"/v1/conversations/{case.conversation_id}")
    messages = [item["message"] for item in timeline["items"] if item["type"] == "message"]
    case.mails = {each["id"]: _letterhead(each) for each in messages if each["recipients"]}
    case.files = [file["id"] for each in messages for file in each["attachments"]]
    for message in messages:
        delivery = message["delivery"]
        if delivery and delivery["status"] in ("failed", "unknown", "cancelled"):
            raise LocalError(f"the reply to {case.customer} was not delivered: {delivery}")
        if delivery and delivery["status"] == "delivered":
            return message
    return None


def _letterhead(mail: Mapping[str, Any]) -> str:
    """What a mail is about, whom it is for, and its files."""
    goes_to = mail["recipients"]
    told = [each["address"] for each in goes_to["to"] + goes_to["cc"]]
    files = [each["file_name"] for each in mail["attachments"]]
    return "  ".join([f"“{mail['subject']}” to {', '.join(told)}", *files])


def _probe(case: Case) -> list[Probe]:
    return probe(case.foreign.api, _ids(case))


def _ids(case: Case) -> dict[str, str]:
    """The ids of what belongs to a case, named as the API's parameters are."""
    ids = {
        "conversation_id": case.conversation_id,
        "draft_id": case.draft["id"],
        "message_id": case.draft["trigger_message_id"],
    }
    if case.reply:
        ids |= {"message_id": case.reply["id"], "delivery_id": case.reply["delivery"]["id"]}
    if case.files:
        ids["attachment_id"] = case.files[0]
    return ids


def _show(case: Case) -> None:
    said = "verified" if case.verified else "NOT VERIFIED"
    say(f"\n{case.title}, {case.customer}: {said}\n")
    say(timeline(case.export, case.names, case.mails))


def _show_probes(probes: Sequence[Probe]) -> None:
    say("\nWhat belongs to one of the tenants, asked for with the key of the other:\n")
    counted: dict[tuple[str, str, int], list[Probe]] = {}
    for each in probes:
        counted.setdefault((each.method, each.path, each.status), []).append(each)
    rows = [
        [method, path, str(status), str(len(made)), str(sum(each.rows for each in made))]
        for (method, path, status), made in counted.items()
    ]
    say(table(["method", "address", "answer", "probes", "foreign rows"], rows) + "\n")


def _status(case: Case) -> str:
    return str(case.reply["delivery"]["status"])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _median(values: Iterable[float]) -> int:
    return round(statistics.median(values))


def _verify(case: Case, local: Local) -> bool:
    """What the verifier says of the export: a program of its own, that knows nothing of us."""
    exported = local.state.folder / f"timeline-{case.channel.type}-{case.channel.provider}.json"
    exported.write_text(json.dumps(case.export))
    command = [sys.executable, "-I", "-S", str(VERIFY), str(exported)]
    return subprocess.run(command, capture_output=True).returncode == 0
