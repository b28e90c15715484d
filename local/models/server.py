"""The model server: loads the encoder, then listens on 127.0.0.1."""

from __future__ import annotations

from contextlib import ExitStack

from local.http_server import serving
from local.models.api import CHAT_MODEL, EMBEDDING_MODEL, Api
from local.models.encoder import DIMENSIONS, encoder

DEFAULT_KEY = "local-models-key"


class ModelServer:
    """Serves while its block lasts; `base_url` and `key` are what a client needs.

    All servers of a process share one encoder, so that only the first takes time to start.
    """

    chat_model = CHAT_MODEL
    embedding_model = EMBEDDING_MODEL
    embedding_dimensions = DIMENSIONS

    def __init__(self, port: int = 0, key: str = DEFAULT_KEY) -> None:
        self.key = key
        self.base_url = ""
        self._port = port
        self._open = ExitStack()

    def __enter__(self) -> ModelServer:
        shared = encoder()
        shared.embed(["The first run allocates what the later ones use."])
        address = self._open.enter_context(serving(Api(shared, self.key).answer, self._port))
        self.base_url = f"{address}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
