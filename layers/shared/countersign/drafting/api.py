"""The API as a whole: its operations and their OpenAPI document."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import RootModel

from countersign.conversations import operations as conversations
from countersign.drafting import operations as drafts
from countersign.people import operations as people
from countersign.platform.operations import Operation, Operations

documents = Operations("Documents")


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""


@documents.add("GET", "/v1/openapi.json", None)
@functools.cache
def read_openapi() -> Document:
    """Read this document"""
    # Made when it is asked for: what writes it would slow down every other start.
    from countersign.platform import openapi

    return Document(openapi.document(everything(), TITLE, VERSION, DESCRIPTION))


def everything() -> tuple[Operation, ...]:
    """The operations of all functions: the API is one, whoever answers."""
    from countersign.knowledge.api import OPERATIONS as KNOWLEDGE
    from countersign.knowledge.search_operations import operations as search

    return (*OPERATIONS, *KNOWLEDGE, *search)


# Those that the approvals function answers; other functions answer theirs.
OPERATIONS: tuple[Operation, ...] = (
    *drafts.operations,
    *drafts.conversations,
    *conversations.operations,
    *people.operations,
    *documents,
)
TITLE = "Countersign"
VERSION = "1"
DESCRIPTION = """\
AI drafts. A person countersigns. Every touch is on the record.

**Keys.** Send `Authorization: Bearer cs_…`. A key belongs to one organization, has scopes and an
end, and may be bound to a person; only such a key decides on drafts and writes to customers.
What belongs to another organization is not found.

**Trying again.** PUT and DELETE may be repeated; a DELETE of an approval or rejection may if it
names the decision by `action_id`: without it, it takes back whichever stands, and where none does
the answer is 409. A suppression that was lifted is not found any more. A POST with an
`Idempotency-Key` takes effect once: the same request with the same key gets the same answer again
(`Idempotent-Replayed: true`), another request with it gets 422. A request that failed may be tried
again with its key. Keys are remembered for two days.

**Pages.** A list gives `next_cursor`; send it as `cursor`, with the same other parameters.

**Errors** are problem documents (RFC 9457), `application/problem+json`; `type` says which, and
stays. A 422 lists in `errors` what is wrong and where: `final_text`, `query.limit`,
`path.draft_id`, `header.Idempotency-Key`, or `body`. After a 5xx or no answer at all, try again,
with the same `Idempotency-Key`.

**Units.** Moments are RFC 3339 with an offset, in UTC in answers. Ids are UUIDs. Texts are counted
in Unicode code points.
"""
