"""HTTP answers: problem documents (RFC 9457) and raw bodies. Only this module knows status codes.

Events are those of an API Gateway HTTP API, payload version 2.0:
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
from typing import Any

from countersign.platform import errors
from countersign.platform.log import logger

PROBLEM_BASE = "https://countersign.dev/problems/"

STATUS: dict[type[errors.CountersignError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.Stale: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.Exhausted: 429,
    errors.Unavailable: 503,
}

Response = dict[str, Any]


def status_of(error: Exception) -> int:
    """The HTTP status of a typed error, of its nearest listed ancestor, else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem_document(error: Exception) -> dict[str, Any]:
    """The members of the problem document; an untyped error says nothing of its inside."""
    if status_of(error) == 500 or not isinstance(error, errors.CountersignError):
        return {
            "type": PROBLEM_BASE + "internal",
            "title": "Internal",
            "status": 500,
            "detail": "Something went wrong here. It is logged; try again.",
        }
    return {
        "type": PROBLEM_BASE + error.code,
        "title": error.code.replace("-", " ").capitalize(),
        "status": status_of(error),
        "detail": error.detail,
        **error.extra,
    }


def problem(error: Exception) -> Response:
    """The answer to a request that failed with `error`; logs what is our own fault."""
    document = problem_document(error)
    if document["status"] == 500:
        logger.error("a request failed", exc_info=error)
    return response(document["status"], document, "application/problem+json")


def response(status: int, body: Any, content_type: str = "application/json") -> Response:
    """An answer with a JSON body; a `str` body goes as it is."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    return {"statusCode": status, "headers": {"content-type": content_type}, "body": text}


def success_status(makes: bool, has_body: bool) -> int:
    """The status of an operation that worked; what it `makes`, its answer shows."""
    if not has_body:
        return 204
    return 201 if makes else 200


def success(makes: bool, body: str | None) -> Response:
    """The answer of an operation that worked; `body` is JSON text."""
    status = success_status(makes, body is not None)
    return {"statusCode": status} if body is None else response(status, body)


def api_problem(error: Exception) -> Response:
    """Like `problem`, with the headers that RFC 9110 asks for: 401 challenges, 405 allows."""
    answer = problem(error)
    code = error.code if isinstance(error, errors.CountersignError) else "internal"
    logger.info("a request was refused", code=code, status=answer["statusCode"])
    if isinstance(error, errors.Unauthenticated):
        answer["headers"]["www-authenticate"] = 'Bearer realm="countersign"'
    if isinstance(error, errors.MethodNotAllowed):
        answer["headers"]["allow"] = ", ".join(error.extra["allow"])
    return answer


def raw_body(event: dict[str, Any]) -> bytes:
    """The bytes that the client sent: what a signature is made over."""
    body: str = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            return base64.b64decode(body, validate=True)
        return body.encode()
    except ValueError:
        raise errors.Invalid("The body is not base64, or not text that UTF-8 can write.") from None
