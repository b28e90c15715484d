"""`make demo`: three messages on three channels, from webhook to verified record."""

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
from local.client import send
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
# Channel, customer, message, and what the person adds to the draft before approving it.
INPUTS = (
    ("sms", "+14155550181", "How tight does an aluminium AN-6 fitting have to be?", ""),
    ("whatsapp", "+447700900181", "Do you ship to the UK, and what does it cost?", "\n\nMiles"),
    ("api", "sam@example.com", "I ordered the wrong fitting. Can I return it?", ""),
)


@dataclass
class Case:
    """One of the messages, and what became of it; moments are in Unix seconds."""

    channel: str
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
    verified: bool = False

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
        owner, foreign = tenants.connect(local, undo_seconds=0, debounce_seconds=0)
        api, foreign_api = (Api(local.gateway.url, each.api_key) for each in (owner, foreign))
        cases = [Case(*each) for each in INPUTS]
        for case in cases:
            _draft(case, owner, api)
        probes = [made for case in cases for made in probe(foreign_api, _ids(case))]
        for case in cases:
            _approve(case, api)
            _deliver(case, api)
        probes += [made for case in cases for made in probe(foreign_api, _ids(case))]
        for case in cases:
            case.verified = _verify(case, local)
            _show(case)
        _show_probes(probes, owner, foreign)
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


def _draft(case: Case, owner: Tenant, api: Api) -> None:
    say(f"A customer writes on {case.channel}: {case.text}")
    case.sent_at = time.time()
    send(owner.channels[case.channel], case.customer, case.text)
    item = until(lambda: _waiting(case, api), f"a draft for {case.customer}")
    case.conversation_id = item["conversation"]["id"]
    case.names[item["conversation"]["customer"]["person_id"]] = case.customer
    case.draft = api.get(f"/v1/drafts/{item['draft']['id']}")


def _waiting(case: Case, api: Api) -> Any:
    """The case's place in the feed once it has a draft. Raises LocalError if it will have none."""
    for item in api.feed():
        address = item["conversation"]["customer"]["address"]
        if address.removeprefix("whatsapp:") == case.customer:
            if item["draft"]:
                return item
            if item["request"] and item["request"]["status"] in ("abstained", "failed"):
                raise LocalError(f"no draft for {case.customer}: {item['request']}")
    return None


def _approve(case: Case, api: Api) -> None:
    body = {"revision_token": case.draft["revision_token"]}
    if case.addition:
        body |= {"final_text": case.draft["text"] + case.addition, "notes": "Signed by hand."}
    case.approved_at = time.time()
    api.post(f"/v1/drafts/{case.draft['id']}/approval", body)


def _deliver(case: Case, api: Api) -> None:
    case.reply = until(lambda: _delivered(case, api), f"the delivery to {case.customer}")
    case.names[case.reply["author"]["id"]] = case.reply["author"]["name"]
    case.export = api.get(f"/v1/conversations/{case.conversation_id}/export")


def _delivered(case: Case, api: Api) -> Any:
    timeline = api.get(f"/v1/conversations/{case.conversation_id}")
    for item in timeline["items"]:
        delivery = item["type"] == "message" and item["message"]["delivery"]
        if delivery and delivery["status"] in ("failed", "unknown", "cancelled"):
            raise LocalError(f"the reply to {case.customer} was not delivered: {delivery}")
        if delivery and delivery["status"] == "delivered":
            return item["message"]
    return None


def _ids(case: Case) -> dict[str, str]:
    """The ids of what belongs to a case, named as the API's parameters are."""
    ids = {
        "conversation_id": case.conversation_id,
        "draft_id": case.draft["id"],
        "message_id": case.draft["trigger_message_id"],
    }
    if case.reply:
        ids |= {"message_id": case.reply["id"], "delivery_id": case.reply["delivery"]["id"]}
    return ids


def _show(case: Case) -> None:
    said = "verified" if case.verified else "NOT VERIFIED"
    say(f"\n{case.channel}, {case.customer}: {said}\n\n{timeline(case.export, case.names)}")


def _show_probes(probes: Sequence[Probe], owner: Tenant, foreign: Tenant) -> None:
    say(f"\nWhat belongs to {owner.name}, asked for with the key of {foreign.name}:\n")
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
    exported = local.state.folder / f"timeline-{case.channel}.json"
    exported.write_text(json.dumps(case.export))
    command = [sys.executable, "-I", "-S", str(VERIFY), str(exported)]
    return subprocess.run(command, capture_output=True).returncode == 0
