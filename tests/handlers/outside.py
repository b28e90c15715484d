"""Everything outside a function but its database, on one port, answering at once.

AWS (Secrets Manager, SQS, S3) as its SDK speaks to it, a model endpoint, Twilio, and a receiver of
the `api` channel. It keeps what it is sent, and refuses nothing but what is not there.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.http_server import Request, Response, serving
from tests.world import HashingEncoder, QuotingChat

TWILIO_SID = "SM000000000000000000000000000000ff"
_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")

Body = dict[str, Any]


@dataclass
class Outside:
    """What is there, and what came."""

    url: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Contents in S3 by `bucket/key`."""
    queued: dict[str, list[Body]] = field(default_factory=lambda: defaultdict(list))
    """Messages by the queue's name, the last part of its URL."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What Twilio has, by path."""
    pages: dict[str, Response] = field(default_factory=dict)
    """What a site has, by path."""
    posted: list[Request] = field(default_factory=list)
    """What went to Twilio and to the receiver."""
    services: list[str] = field(default_factory=list)
    """The AWS services that were called, in the order of their first call."""

    def queue_url(self, name: str) -> str:
        """The address of the queue of that name."""
        return f"{self.url}/123456789012/{name}"

    def answer(self, request: Request) -> Response:
        """Serve one request."""
        signed = _SIGNED_FOR.search(request.header("Authorization"))
        if signed:
            return self._aws(signed["service"], request)
        if request.path.endswith("/embeddings"):
            return _embeddings(json.loads(request.body))
        if request.path.endswith("/chat/completions"):
            return _completion(json.loads(request.body))
        if request.path in self.files:
            return Response(200, self.files[request.path])
        if request.path in self.pages or request.path == "/robots.txt":
            return self.pages.get(request.path, Response(404))
        self.posted.append(request)
        return _json(201, {"sid": TWILIO_SID, "status": "queued"})

    def _aws(self, service: str, request: Request) -> Response:
        if service not in self.services:
            self.services.append(service)
        if service == "s3":
            return self._s3(request)
        operation = request.header("X-Amz-Target").partition(".")[2]
        body = json.loads(request.body)
        if operation == "SendMessageBatch":
            return self._send(body)
        assert operation == "GetSecretValue", operation
        return self._secret(body)

    def _s3(self, request: Request) -> Response:
        name = request.path.removeprefix("/")
        if request.method == "PUT":
            self.objects[name] = request.body
            return Response(200, headers=(("ETag", '"0"'),))
        if name in self.objects:
            return Response(200, self.objects[name])
        return Response(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _send(self, body: Body) -> Response:
        entries = body["Entries"]
        queue = body["QueueUrl"].rsplit("/", 1)[-1]
        self.queued[queue] += [json.loads(entry["MessageBody"]) for entry in entries]
        sent = [{"Id": e["Id"], "MessageId": e["Id"], "MD5OfMessageBody": ""} for e in entries]
        return _json(200, {"Successful": sent, "Failed": []})

    def _secret(self, body: Body) -> Response:
        found = self.secrets.get(body["SecretId"])
        if found is None or body["VersionStage"] != "AWSCURRENT":
            return _json(400, {"__type": "ResourceNotFoundException", "message": "none"})
        return _json(200, {"Name": body["SecretId"], "SecretString": found})


@contextmanager
def outside() -> Iterator[Outside]:
    """Serve for the length of the block."""
    made = Outside()
    with serving(made.answer) as url:
        made.url = url
        yield made


def _embeddings(body: Body) -> Response:
    embedded = HashingEncoder().embed(body["input"])
    data = [{"index": i, "embedding": vector} for i, vector in enumerate(embedded.vectors)]
    return _json(200, {"data": data, "usage": {"prompt_tokens": embedded.input_tokens}})


def _completion(body: Body) -> Response:
    system, user = (message["content"] for message in body["messages"])
    said = QuotingChat().answer(system, user)
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": said.text}}
    usage = {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens}
    return _json(200, {"model": said.model, "choices": [choice], "usage": usage})


def _json(status: int, value: Mapping[str, Any]) -> Response:
    return Response(status, json.dumps(value).encode(), (("Content-Type", "application/json"),))
