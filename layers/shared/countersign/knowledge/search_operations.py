"""What the API offers to who looks for something."""

from __future__ import annotations

from countersign.identity.access import Call
from countersign.knowledge import search_schemas as schemas
from countersign.platform.errors import Exhausted, NotFound, Unavailable
from countersign.platform.operations import Operations

operations = Operations("Search")


@operations.add(
    "POST", "/v1/search", "search:read", NotFound, Exhausted, Unavailable, only_reads=True
)
def search(call: Call, body: schemas.Search) -> schemas.Results:
    """Search documents or messages

    By meaning and by words at once: a paraphrase is found by its meaning, a part number, an error
    code or a rare name by its words. 404: there is no such dataset. 429: what models may cost in a
    day is spent, and the question cannot be understood without one.
    """
    # Whoever only documents this needs no vectors.
    from countersign.knowledge import searching

    return searching.search(call.session, call.principal, call.prepared, body)
