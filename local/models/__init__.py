"""An OpenAI-compatible model server for the laptop: MiniLM embeddings and an extractive writer.

`python -m local.models --port 4003` serves it; `with ModelServer() as server` does so in a test.
"""

from local.models.server import ModelServer

__all__ = ["ModelServer"]
