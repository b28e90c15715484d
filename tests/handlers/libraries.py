"""Which third-party packages each function may load, as Python names them.

What is here is used by the function: a line more is a slower start, to be argued for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.built import Code

# What brings what: a package is listed with those that it cannot be imported without.
LOGGER = {"aws_lambda_powertools", "botocore", "jmespath", "typing_extensions"}
ORM = {"sqlalchemy", "typing_extensions"}
SHAPES = {"pydantic", "pydantic_core", "annotated_types", "typing_inspection", "typing_extensions"}
VECTORS = {"pgvector"}
AWS = {"boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"}
DRIVER = {"psycopg", "psycopg_binary"}
REVISIONS = {"alembic", "mako", "markupsafe"}

AT_START: dict[str, set[str]] = {
    "webhooks": LOGGER,
    "ingest": LOGGER | ORM,
    "drafts": LOGGER | ORM | SHAPES | VECTORS,
    "approvals": LOGGER | ORM | SHAPES,
    "search": LOGGER | ORM | SHAPES | VECTORS,
    "outbound": LOGGER | ORM,
    "attachments": LOGGER | ORM,
    "index": LOGGER | ORM | VECTORS,
    "knowledge": LOGGER | ORM | SHAPES | VECTORS,
    # It calls with urllib3 alone, and maps tables of vectors that documents stand beside.
    "crawl": LOGGER | ORM | VECTORS | {"urllib3"},
    "relay": LOGGER | ORM,
    # The channels of the sample are checked by their providers' modules, which call by urllib3.
    "migrations": LOGGER | ORM | SHAPES | VECTORS | DRIVER | REVISIONS | {"urllib3"},
}
"""After the handler's module has been imported: these, and no others."""

WITH_EVENTS: dict[str, set[str]] = {
    "webhooks": AWS,
    "ingest": AWS | DRIVER,
    "drafts": AWS | DRIVER,
    "approvals": AWS | DRIVER,
    "search": AWS | DRIVER,
    "outbound": AWS | DRIVER,
    "attachments": AWS | DRIVER | {"puremagic"},
    "index": AWS | DRIVER | {"selectolax", "semantic_text_splitter"},
    "knowledge": AWS | DRIVER,
    "crawl": AWS | DRIVER | {"protego"},
    "relay": AWS | DRIVER,
    "migrations": AWS | DRIVER | {"semantic_text_splitter"},
}
"""After any event, these too."""

WITH_THE_API_CHANNEL = SHAPES
"""After an event of the `api` channel, whose provider checks shapes."""

WITH_A_MAIL = {"nh3"}
"""After a mail that came in."""

WITH_THE_DOCUMENT = VECTORS
"""After the OpenAPI document was asked for, which tells of the operations of all functions."""

WITH_ECDSA = {"ecdsa"}
"""After a webhook of SendGrid, which is signed so."""

OURS = {"app", "countersign", "migrations"}


def packages(code: Code, files: Iterable[str]) -> set[str]:
    """Of a function's loaded files the third-party packages."""
    inside = (
        Path(file).relative_to(folder)
        for file in files
        for folder in code.folders
        if Path(file).is_relative_to(folder)
    )
    return {path.parts[0].split(".")[0] for path in inside} - OURS
