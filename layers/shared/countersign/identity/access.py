"""The one way into the API: a key proves who asks, then one transaction of their organization.

The key is looked up in a transaction of its own, before any tenant is set. Reading opens a
tenant's transaction; writing opens one that publishes what it promised, once it has committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy.exc import OperationalError

from countersign.identity import api_keys
from countersign.identity.api_keys import Principal, Scope
from countersign.platform import clock, http, idempotency, operations
from countersign.platform.db import Database, TenantSession
from countersign.platform.errors import Unavailable
from countersign.platform.log import logger
from countersign.platform.operations import Event, Operation
from countersign.platform.outbox import Outbox


@dataclass(frozen=True)
class Call:
    """What an operation's function is given beside its arguments."""

    session: TenantSession
    principal: Principal
    now: datetime
    files_bucket: str
    """Where files lie: those of messages, or of documents."""
    prepared: Any
    """What `Access.prepare` has made of the arguments."""


@dataclass(frozen=True)
class Access:
    """Answers the requests of an HTTP API."""

    database: Database
    outbox: Outbox | None = None
    """None where all operations only read."""
    files_bucket: str = ""
    prepare: Callable[[Principal, dict[str, Any]], Any] | None = None
    """What is done with a request before its transaction begins, since it calls somebody."""

    def answer(self, declared: Iterable[Operation], event: Event) -> http.Response:
        """The answer to a request of one of the operations that are declared.

        Raises typed errors, `Unavailable` among them where the database or a queue is. Whatever it
        raises, nothing was changed, except that a COMMIT may have worked whose answer was lost:
        that is `Unavailable` too, and a POST is repeated safely only with its Idempotency-Key.
        """
        request = event["requestContext"]["http"]
        operation, path = operations.find(declared, request["method"], event["rawPath"])
        if operation.scope is None:
            return http.success(operation.makes, _text(operation.run()))
        with _answering():
            principal = self._authenticate(event)
            logger.info(
                "a request arrived",
                operation=operation.run.__name__,
                api_key_id=str(principal.api_key_id),
            )
            principal.require(cast(Scope, operation.scope))
            given = operations.arguments(operation, event, path)
            prepared = self.prepare(principal, given) if self.prepare else None
            with self._transaction(operation, principal) as session:
                call = Call(session, principal, clock.now(), self.files_bucket, prepared)
                return _once(operation, call, given, event)

    def _transaction(
        self, operation: Operation, principal: Principal
    ) -> AbstractContextManager[TenantSession]:
        if operation.only_reads:
            return self.database.reading(principal.organization_id)
        assert self.outbox is not None
        return self.outbox.transaction(principal.organization_id)

    def _authenticate(self, event: Event) -> Principal:
        with self.database.system() as session:
            authorization = operations.header(event, "authorization")
            return api_keys.authenticate(session, authorization, clock.now())


def _once(operation: Operation, call: Call, given: dict[str, Any], event: Event) -> http.Response:
    """Run the operation, unless the same request with its Idempotency-Key has been answered."""
    key = operations.header(event, "idempotency-key")
    if not operation.makes or key is None:
        return _run(operation, call, given)
    idempotency.check(key)
    mine = call.session, call.principal.api_key_id, key
    before = idempotency.begin(*mine, _fingerprint(event))
    if before is not None:
        return before
    answer = _run(operation, call, given)
    idempotency.settle(*mine, answer)
    return answer


def _fingerprint(event: Event) -> bytes:
    """Tells requests apart that come with the same Idempotency-Key."""
    request = hashlib.sha256(event["rawPath"].encode() + b"\n")
    request.update(http.raw_body(dict(event)))
    return request.digest()


def _run(operation: Operation, call: Call, given: dict[str, Any]) -> http.Response:
    return http.success(operation.makes, _text(operation.run(call, **given)))


def _text(answer: Any) -> str | None:
    return None if answer is None else cast(str, answer.model_dump_json())


@contextmanager
def _answering() -> Iterator[None]:
    """What the database or a queue fails at is `Unavailable`: to be tried again."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (OperationalError, BotoCoreError, ClientError) as error:
        logger.warning("what a request needs does not answer", exc_info=True)
        raise Unavailable(
            "The database or a queue does not answer; try again, a POST with the same"
            " Idempotency-Key: the request may have taken effect."
        ) from error
