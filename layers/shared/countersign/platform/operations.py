"""The API's operations: what is at which address, who may, what goes in and what comes out.

One declaration serves routing, validation and the OpenAPI document, so that they cannot differ
(docs/adr/0006-operations-are-declared-once.md).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ValidationError

from countersign.platform.errors import (
    CountersignError,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from countersign.platform.http import raw_body
from countersign.platform.schemas import Body, Query, faults

MAX_BODY_BYTES = 256 * 1024

Method = Literal["GET", "POST", "PUT", "DELETE"]
Event = Mapping[str, Any]
"""An event of an HTTP API, payload version 2.0."""
Function = TypeVar("Function", bound=Callable[..., Any])

_PARAMETER = re.compile(r"\{(\w+)\}")
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Operation:
    """One method of one address, and the function that it calls.

    The function's parameters named in the path are UUIDs; one of a `Query` or `Body` type gets what
    was sent. What it returns, a model or None, is the answer. `scope` None: no key is asked for.
    """

    method: Method
    path: str
    scope: str | None
    errors: tuple[type[CountersignError], ...]
    """What it may raise beyond what any operation may."""
    tag: str
    run: Callable[..., BaseModel | None]
    only_reads: bool
    """Whether it changes nothing: a GET, or a POST whose question is too long for an address."""

    @property
    def makes(self) -> bool:
        """Whether what it answers is new."""
        return self.method == "POST" and not self.only_reads

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """The types of the function's parameters, and of its answer as `return`."""
        return get_type_hints(self.run)

    @property
    def path_parameters(self) -> list[str]:
        """The names in the path, in order."""
        return _PARAMETER.findall(self.path)

    def parameter_of(self, kind: type[BaseModel]) -> tuple[str, type[BaseModel]] | None:
        """The function's parameter whose type is a `kind`: its name and type."""
        found = (
            (name, hint)
            for name, hint in self.hints.items()
            if name != "return" and isinstance(hint, type) and issubclass(hint, kind)
        )
        return next(found, None)

    @functools.cached_property
    def rule(self) -> re.Pattern[str]:
        """What the path of a request for it looks like."""
        return re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", self.path))


class Operations:
    """The operations of a room, in the order in which they are declared."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._declared: list[Operation] = []

    def add(
        self,
        method: Method,
        path: str,
        scope: str | None,
        *errors: type[CountersignError],
        only_reads: bool = False,
    ) -> Callable[[Function], Function]:
        """Declare the decorated function as an operation."""
        reads = only_reads or method == "GET"

        def declare(function: Function) -> Function:
            declared = Operation(method, path, scope, errors, self._tag, function, reads)
            self._declared.append(declared)
            return function

        return declare

    def __iter__(self) -> Any:
        return iter(self._declared)


def find(
    operations: Iterable[Operation], method: str, path: str
) -> tuple[Operation, dict[str, str]]:
    """The operation at an address, and its path's parameters. Raises `NotFound` for none there,
    and `MethodNotAllowed` where there are only others."""
    there = [
        (operation, match)
        for operation in operations
        if (match := operation.rule.fullmatch(path)) is not None
    ]
    if not there:
        raise NotFound("There is nothing at this address.")
    for operation, match in there:
        if operation.method == method:
            return operation, match.groupdict()
    allowed = [operation.method for operation, _ in there]
    raise MethodNotAllowed(f"Here is only {', '.join(allowed)}.", allow=allowed)


def arguments(operation: Operation, event: Event, path: Mapping[str, str]) -> dict[str, Any]:
    """What a request gives to the operation's function.

    Raises `Invalid` with `errors`, a list of `{"where", "what"}` of all that is wrong; `TooLarge`;
    `UnsupportedMediaType`.
    """
    given: dict[str, Any] = {name: _id(name, text) for name, text in path.items()}
    query = operation.parameter_of(Query)
    if query:
        name, model = query
        sent = event.get("queryStringParameters") or {}
        given[name] = _parsed(lambda: model.model_validate_strings(sent), "query")
    body = operation.parameter_of(Body)
    if body:
        name, shape = body
        text = _json_body(event)
        given[name] = _parsed(lambda: shape.model_validate_json(text))
    return given


def _id(name: str, text: str) -> UUID:
    if not _ID.fullmatch(text):
        raise _invalid([{"where": f"path.{name}", "what": "Not a UUID"}])
    return UUID(text)


def _json_body(event: Event) -> bytes:
    content_type: str = header(event, "content-type") or "application/json"
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")
    body = raw_body(dict(event))
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return body


def header(event: Event, name: str) -> str | None:
    """The value of a request's header; `name` in lower case."""
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _parsed(parse: Callable[[], BaseModel], *within: str) -> BaseModel:
    try:
        return parse()
    except ValidationError as error:
        raise _invalid(faults(error, "body", within=within)) from None


def _invalid(wrong: list[dict[str, str]]) -> Invalid:
    return Invalid("The request is not of the shape that is asked for; see errors.", errors=wrong)
