"""All that the API offers on knowledge."""

from __future__ import annotations

from countersign.knowledge.crawling.operations import operations as crawls
from countersign.knowledge.operations import operations as documents
from countersign.platform.operations import Operation

OPERATIONS: tuple[Operation, ...] = (*documents, *crawls)
