"""An exported record as a table for people."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from local.tables import shortened, table

_HIDDEN = ("commitment", "_id", "_hash", "_ids")


def timeline(export: Mapping[str, Any], names: Mapping[str, str], mails: Mapping[str, str]) -> str:
    """The events of an export in their order: when, what, who, and what it was about.

    `names` says who stands behind an id, `mails` what is written on top of a message that is one.
    """
    texts = {body["commitment"]: body["text"] for body in export["bodies"]}
    events = [json.loads(event["canonical_text"]) for event in export["events"]]
    first = datetime.fromisoformat(events[0]["occurred_at"])
    rows = []
    for event in events:
        after = datetime.fromisoformat(event["occurred_at"]) - first
        actor = event["actor"]
        rows.append(
            [
                str(event["seq"]),
                f"{after.total_seconds():.2f}",
                event["type"],
                f"{actor['type']} {shortened(names.get(actor['id'], actor['id']), 28)}",
                shortened("  ".join(_told(event["data"], texts, mails)), 80),
            ]
        )
    return table(["#", "s", "event", "by", "what"], rows)


def _told(
    data: Mapping[str, Any], texts: Mapping[str, str | None], mails: Mapping[str, str]
) -> Iterator[str]:
    """The facts of an event that say something to a person; texts in place of commitments."""
    if data.get("message_id") in mails:
        yield mails[data["message_id"]]
    for name, value in data.items():
        if name.endswith("commitment"):
            yield f"“{texts.get(value) or 'erased'}”"
        elif isinstance(value, str | int) and not name.endswith(_HIDDEN):
            yield f"{name} {value}"
