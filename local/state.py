"""Where one stack keeps its files, and what it must remember between two runs."""

import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
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

    @contextmanager
    def port(self, name: str, usual: int) -> Iterator[int]:
        """A port on 127.0.0.1 that no other stack takes during the block.

        It is the one used last time, else the usual one or the next that is free, else any.
        """
        known = self.read("ports")
        taken = set(known.values()) - {known.get(name)}
        wanted = [known[name]] if name in known else []
        wanted += [port for port in range(usual, usual + 20) if port not in taken]
        claims = (claim for port in chain(wanted, repeat(0)) if (claim := _claim(port)))
        with next(claims) as claim:
            port = claim.getsockname()[1]
            self.write("ports", known | {name: port})
            yield port


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _claim(port: int) -> socket.socket | None:
    """A socket that stands for the port, any if it is 0; None if that is not to be had.

    Between the choice of a port and the moment when a server listens on it, another stack could
    choose it too. So the UDP port of the same number, which nobody here serves, is held meanwhile:
    the kernel gives it to one, and drops it with its holder.
    """
    claim = socket.socket(type=socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
        _listen(claim.getsockname())
    except OSError:
        claim.close()
        return None
    return claim


def _listen(address: tuple[str, int]) -> None:
    """Raises OSError where a server listens already."""
    with socket.socket() as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
