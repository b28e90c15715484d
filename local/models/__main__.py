"""Serves the models on 127.0.0.1 until it is told to stop."""

import argparse
import signal
import threading

from local.models.server import DEFAULT_KEY, ModelServer


def main() -> None:
    """Serve; prints the base URL once the models are loaded."""
    parser = argparse.ArgumentParser(prog="python -m local.models", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one if not given")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the bearer key that requests must show")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with ModelServer(arguments.port, arguments.key) as server:
        print(server.base_url, flush=True)
        stopped.wait()


main()
