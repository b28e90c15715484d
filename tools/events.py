"""Check the sample events: each function has some, of the shape in which its source sends them.

HTTP API, payload 2.0: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
SQS: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
EventBridge: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools import template
from tools.environment import ROOT

EVENTS = ROOT / "events"
TEMPLATES = (ROOT / "template.yaml", ROOT / "infra" / "migrations.yaml")
RECORD = ("messageId", "receiptHandle", "attributes", "messageAttributes", "awsRegion")
CONTEXT = ("accountId", "apiId", "domainName", "requestId", "stage", "time", "timeEpoch")

Event = dict[str, Any]
Check = Callable[[Event], Iterator[str]]


def main() -> None:
    """Exit with every fault found, named by its file."""
    known = {name: checks for path in TEMPLATES for name, checks in sources(path).items()}
    faults = [f"{EVENTS / name} holds no event." for name in known if not events(name)]
    for folder in (each for each in EVENTS.iterdir() if each.is_dir() and each.name not in known):
        faults.append(f"{folder}: there is no function {folder.name}.")
    for name, checks in known.items():
        for file in events(name):
            faults += [f"{file}: {fault}" for fault in file_faults(file, checks)]
    if faults:
        sys.exit("\n".join(faults))
    print(f"{sum(len(events(name)) for name in known)} events have the shape of their source.")


def events(function: str) -> list[Path]:
    """The sample events of a function."""
    return sorted((EVENTS / function).glob("*.json"))


def sources(path: Path) -> dict[str, list[Check]]:
    """What may call each function of a template, as checks of the events from there."""
    loaded = template.load(path)
    found: dict[str, list[Check]] = {}
    for name, function in template.functions(loaded).items():
        given = function["Properties"].get("Events", {}).values()
        found[name] = [_CHECKS[each["Type"]](each["Properties"]) for each in given]
        for mapping in template.sources(loaded, name):
            found[name].append(_queue_check(mapping["EventSourceArn"]["Fn::GetAtt"][0]))
    return {name: checks or [_action_faults] for name, checks in found.items()}


def file_faults(file: Path, checks: list[Check]) -> list[str]:
    """What is wrong with the event of a file; nothing if it suits one of the sources."""
    try:
        event = json.loads(file.read_text())
    except ValueError as error:
        return [f"no JSON: {error}"]
    results = [list(check(event)) for check in checks]
    return min(results, key=len)


def _http_check(properties: dict[str, Any]) -> Check:
    route = f"{properties['Method']} {properties['Path']}"

    def faults(event: Event) -> Iterator[str]:
        if event.get("version") != "2.0":
            yield "version is not 2.0"
        if event.get("routeKey") != route:
            yield f"routeKey is not {route}"
        if set(event.get("pathParameters", {})) != set(re.findall(r"{(\w+)\+?}", route)):
            yield f"pathParameters are not those of {route}"
        if any(name != name.lower() for name in event.get("headers", {"None": ""})):
            yield "headers are missing, or not in lower case"
        if not isinstance(event.get("isBase64Encoded"), bool) or "rawQueryString" not in event:
            yield "isBase64Encoded or rawQueryString is missing"
        context = event.get("requestContext", {})
        yield from (f"requestContext.{name} is missing" for name in CONTEXT if name not in context)
        if context.get("http", {}).get("path") != event.get("rawPath"):
            yield "requestContext.http.path is not rawPath"

    return faults


def _schedule_check(properties: dict[str, Any]) -> Check:
    if "Input" in properties:  # which is sent instead of the event
        return _action_faults

    def faults(event: Event) -> Iterator[str]:
        if (event.get("source"), event.get("detail-type")) != ("aws.events", "Scheduled Event"):
            yield "it is no scheduled event of EventBridge"
        wanted = ("version", "id", "account", "time", "region", "resources", "detail")
        yield from (f"{name} is missing" for name in wanted if name not in event)

    return faults


def _queue_check(queue: str) -> Check:
    def faults(event: Event) -> Iterator[str]:
        if not event.get("Records"):
            yield "it has no Records"
        for record in event.get("Records", []):
            yield from (f"{name} is missing in a record" for name in RECORD if name not in record)
            body = record["body"].encode()
            if record.get("md5OfBody") != hashlib.md5(body, usedforsecurity=False).hexdigest():
                yield "md5OfBody is not that of body"
            if not isinstance(json.loads(body), dict):
                yield "body is no JSON object"
            if record.get("eventSource") != "aws:sqs" or queue not in record["eventSourceARN"]:
                yield f"the source is not {queue}"

    return faults


def _action_faults(event: Event) -> Iterator[str]:
    if not isinstance(event.get("action"), str):
        yield "it names no action"


_CHECKS = {"HttpApi": _http_check, "Schedule": _schedule_check}

if __name__ == "__main__":
    main()
