"""Where one stack keeps its files, and what it must remember between two runs."""

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class State:
    """A folder of state; each stack (run, demo, a test) has its own."""

    folder: Path

    @property
    def logs(self) -> Path:
        """Logs of the processes, one file each."""
        path = self.folder / "logs"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def read(self, name: str) -> dict[str, Any]:
        """What was written under `name`, empty if nothing was."""
        try:
            value: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return {}
        return value

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace what is remembered under `name`; only our user can read it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.json"
        with os.fdopen(os.open(path.with_suffix(".new"), _WRITE, 0o600), "w") as file:
            json.dump(value, file, indent=1)
        path.with_suffix(".new").replace(path)

    def secret(self, name: str) -> str:
        """A random password that stays the same for this stack."""
        known = self.read("secrets")
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            self.write("secrets", known)
        return str(known[name])

    def port(self, name: str, usual: int) -> int:
        """A free port on 127.0.0.1: the one used last time, else the usual one, else any."""
        known = self.read("ports")
        taken = set(known.values()) - {known.get(name)}
        wanted = [known[name]] if name in known else []
        wanted += [port for port in range(usual, usual + 20) if port not in taken]
        port = next((each for each in wanted if _is_free(each)), 0) or _any_free_port()
        self.write("ports", known | {name: port})
        return port


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
