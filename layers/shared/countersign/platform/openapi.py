"""The OpenAPI 3.1 document of declared operations: https://spec.openapis.org/oas/v3.1.1

Written when it is asked for and when it is checked in, never while a function starts.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from countersign.platform import errors, http, idempotency
from countersign.platform.operations import Operation
from countersign.platform.schemas import Body, Query

_SCHEMAS = "#/components/schemas/"
_RESPONSES = "#/components/responses/"
_REPLAYED = {
    "description": "`true`: this answer was given before, to the same Idempotency-Key.",
    "schema": {"type": "string", "enum": ["true"]},
}
_PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Some types have more members.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Which error; it stays."},
        "title": {"type": "string", "description": "The type in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong here, and what to do."},
        "errors": {
            "type": "array",
            "description": "Of a 422: every fault that was found, up to twenty.",
            "items": {
                "type": "object",
                "required": ["where", "what"],
                "properties": {"where": {"type": "string"}, "what": {"type": "string"}},
            },
        },
        "changed": {
            "type": "array",
            "description": "Of `stale`: what has changed since it was read.",
            "items": {"type": "string"},
        },
    },
}


def document(
    operations: Sequence[Operation], title: str, version: str, description: str
) -> dict[str, Any]:
    """The document, as JSON values; the same operations give the same document."""
    models, schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, models)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _refusals(operations),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(
    operations: Iterable[Operation],
) -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    """What stands for each body and answer, and all the definitions that they refer to."""
    modes: dict[tuple[type[BaseModel], Any], None] = {}
    for operation in operations:
        if body := operation.parameter_of(Body):
            modes[body[1], "validation"] = None
        answer = operation.hints["return"]
        if isinstance(answer, type) and issubclass(answer, BaseModel):
            modes[answer, "serialization"] = None
    by_mode, defined = models_json_schema(list(modes), ref_template=_SCHEMAS + "{model}")
    schemas = {**defined["$defs"], "Problem": _PROBLEM}
    models: dict[Any, Any] = {model: schema for (model, _), schema in by_mode.items()}
    return models, {name: _untitled(schemas[name]) for name in sorted(schemas)}


def _untitled(schema: Any) -> Any:
    """Without the titles that repeat a property's own name."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _untitled(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _operation(operation: Operation, models: dict[type[BaseModel], Any]) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(operation.run) or "").partition("\n")
    described: dict[str, Any] = {
        "operationId": operation.run.__name__,
        "tags": [operation.tag],
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": _parameters(operation),
        "responses": _responses(operation, models),
    }
    if operation.scope is None:
        described["security"] = []
    else:
        described["security"] = [{"key": [operation.scope]}]
        described["description"] += f" Scope: `{operation.scope}`."
    if body := operation.parameter_of(Body):
        content = {"application/json": {"schema": models[body[1]]}}
        described["requestBody"] = {"required": True, "content": content}
    described["description"] = described["description"].strip()
    return {name: value for name, value in described.items() if value or name == "security"}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"},
        }
        for name in operation.path_parameters
    ]
    if query := operation.parameter_of(Query):
        parameters += _query_parameters(query[1])
    if operation.makes:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Chosen by the client, new for each new request, such as a UUID.",
                "schema": {"type": "string", "pattern": idempotency.PATTERN},
            }
        )
    return parameters


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = _untitled(model.model_json_schema())
    parameters = []
    for name, described in schema["properties"].items():
        shown = _present(described)
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", []),
                "description": shown.pop("description"),
                "schema": shown,
            }
        )
    return parameters


def _present(schema: dict[str, Any]) -> dict[str, Any]:
    """Without null, which a query string cannot say: it leaves the parameter out."""
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    if not kinds:
        return schema
    del schema["default"]
    return {**kinds[0], **schema}


def _responses(operation: Operation, models: dict[type[BaseModel], Any]) -> dict[str, Any]:
    answer = models.get(operation.hints["return"])
    status = http.success_status(operation.makes, answer is not None)
    done: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        done["description"] = inspect.getdoc(operation.hints["return"])
        done["content"] = {"application/json": {"schema": answer}}
    if operation.makes:
        done["headers"] = {"Idempotent-Replayed": _REPLAYED}
    refused = {
        str(status): {"$ref": _RESPONSES + _name(kinds)}
        for status, kinds in sorted(_errors(operation).items())
    }
    other = {"$ref": _RESPONSES + _name([errors.CountersignError])}
    return {str(status): done, **refused, "default": other}


def _refusals(operations: Iterable[Operation]) -> dict[str, Any]:
    """Each set of errors that some operation answers a status with, by its name."""
    refusals = {_name([errors.CountersignError]): _problem("Any other error.")}
    for operation in operations:
        for kinds in _errors(operation).values():
            said = " ".join(f"`{kind.code}`: {kind.__doc__}" for kind in kinds)
            refusals[_name(kinds)] = _problem(said)
    return dict(sorted(refusals.items()))


def _name(kinds: Iterable[type[errors.CountersignError]]) -> str:
    return "Or".join(kind.__name__ for kind in kinds)


def _errors(operation: Operation) -> dict[int, list[type[errors.CountersignError]]]:
    """What the operation may raise, by status."""
    kinds = [*operation.errors]
    if operation.scope is not None:
        kinds += [errors.Unauthenticated, errors.Forbidden]
    if operation.path_parameters or operation.parameter_of(Query):
        kinds.append(errors.Invalid)
    if operation.parameter_of(Body):
        kinds += [errors.TooLarge, errors.UnsupportedMediaType]
    if operation.makes:
        kinds.append(idempotency.KeyReused)
    by_status: dict[int, list[type[errors.CountersignError]]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        by_status[http.status_of(kind())].append(kind)
    return by_status


def _problem(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": _SCHEMAS + "Problem"}}}
    return {"description": description, "content": content}
