from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from uuid import UUID

import pytest

from countersign.channels.messages import Outgoing
from tests.unit.channels.peer import Handler, Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.peer = Peer(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.peer  # type: ignore[attr-defined]
    server.peer.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def delivery() -> Outgoing:
    return Outgoing(
        delivery_id=UUID(int=1),
        attempt_id=UUID(int=2),
        sender="+15550100",
        recipient="+15550199",
        text="Your radiator ships today: 3 pieces & a cap.",
        external_conversation_id="thread-7",
        callback_url="https://hooks.example/webhooks/twilio.key?attempt=2",
    )
