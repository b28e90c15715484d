"""One owner at a time for a folder of state."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.errors import LocalError


class AlreadyRunning(LocalError):
    """Another live process holds the folder; `.pid` is that process, 0 where it has not said."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(
            f"{path.parent} is in use by process {pid}: end it there, or with `make down`."
        )
        self.pid = pid


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` as a lock file until the end of the block.

    The kernel drops the lock with its holder, so a `kill -9` leaves nothing to clean up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(path, holder(path)) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)


def holder(path: Path) -> int:
    """The process that holds the lock file, 0 if none has written its number."""
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0
