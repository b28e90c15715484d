"""What the API offers on addresses that must not be written to."""

from __future__ import annotations

from uuid import UUID

from countersign.identity.access import Call
from countersign.people import schemas, suppressions
from countersign.platform.errors import Conflict, NotFound
from countersign.platform.operations import Operations

operations = Operations("Suppressions")


@operations.add("GET", "/v1/suppressions", "suppressions:read")
def read_suppressions(call: Call, query: schemas.SuppressionsQuery) -> schemas.Suppressions:
    """List the addresses that must not be written to

    The newest first, with the reason; or the one of `address`, if it is there.
    """
    return suppressions.read(call.session, query)


@operations.add("POST", "/v1/suppressions", "suppressions:write")
def add_suppression(call: Call, body: schemas.Suppress) -> schemas.Suppression:
    """Suppress an address

    Nothing is sent to it from now on, by any channel; what waits for its hand-over is stopped. One
    that is suppressed already stays as it is, and is the answer.
    """
    return suppressions.add(call.session, call.principal, body.address, call.now)


@operations.add(
    "DELETE", "/v1/suppressions/{suppression_id}", "suppressions:write", NotFound, Conflict
)
def lift_suppression(call: Call, suppression_id: UUID) -> None:
    """Lift a suppression

    The address may be written to again. Needs a key that is bound to a person, whom the record
    names. 409: the reason is `opted_out`, which only they take back, by START. 404, too: it is
    lifted already. A provider's own list is not changed.
    """
    suppressions.lift(call.session, call.principal, suppression_id, call.now)
