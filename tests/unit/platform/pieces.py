"""A server on 127.0.0.1 that answers byte by byte as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from countersign.platform import calls


class Server:
    """Sends each connection the given pieces, `apart` seconds from each other, and closes it.

    Without `apart` a connection is kept open for one request after the other. `has_said_all` is
    whether it came to the end of the last piece, and of the wait after it.
    """

    def __init__(self, pieces: Sequence[bytes], apart: float) -> None:
        self.connections = 0
        self.over = threading.Event()
        self.has_said_all = False
        self._pieces, self._apart = pieces, apart
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(60)
            try:
                while connection.recv(65536):
                    for piece in self._pieces:
                        connection.sendall(piece)
                        if self.over.wait(self._apart):
                            return
                    self.has_said_all = True
                    if self._apart or self.over.is_set():
                        return
            except OSError:
                return

    def close(self) -> None:
        self.over.set()
        # Closing alone would leave the thread in `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        calls._pool().clear()
        for thread in self._threads:
            thread.join()


@contextmanager
def serving(*pieces: bytes, apart: float = 0.0) -> Iterator[Server]:
    server = Server(pieces, apart)
    try:
        yield server
    finally:
        server.close()


def bytewise(content: bytes, times: int = 1) -> list[bytes]:
    return [content[at : at + 1] for at in range(len(content))] * times
