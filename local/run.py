"""`make run`: everything, until Ctrl-C; and what one does beside it."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

from local import containers, locks, processes, reload, stack, tenants
from local.api import Api, until
from local.aws import Aws, Unreachable
from local.client import send
from local.deploy import invoke, physical_ids
from local.errors import LocalError
from local.logs import FunctionLogs
from local.redrive import redrive
from local.stack import APPLICATION, MIGRATIONS, Local
from local.state import CHECKOUT, State
from local.tenants import Tenant

FOLDER = CHECKOUT / ".local" / "state"
STOP_SECONDS = 60.0
# Tenant, channel, customer, message.
MESSAGES = (
    ("hot-rod-an", "sms", "+14155550101", "How tight does an aluminium AN-8 fitting have to be?"),
    ("hot-rod-an", "whatsapp", "+447700900123", "Do you ship to the UK, and what does it cost?"),
    ("hot-rod-an", "api", "dana@example.com", "I ordered the wrong fitting. Can I return it?"),
    ("hot-rod-an", "sms", "+13105550147", "What does overnight shipping cost?"),
    ("hot-rod-an", "email", "jo@example.com", "Is a rubber hose good enough for E85?"),
    ("northwind-bicycles", "sms", "+12185550132", "How long is the warranty on a steel frame?"),
)


def run(state: State) -> None:
    """Bring everything up, send a few messages the first time, and reload code until Ctrl-C."""
    with started(state) as local:
        Thread(target=_warm, args=(local,), daemon=True).start()
        connected = tenants.connect(local)
        _send_first_messages(local, connected)
        say(_welcome(local, connected[0]))
        for _ in reload.watch(local.aws, say):
            processes.check(local.state)
            _tell(local.logs)


def down(state: State) -> None:
    """End the `make run` that uses `state`, or what it left behind when it was killed."""
    lock = state.folder / "lock"
    try:
        with locks.exclusive(lock):
            stack.stop_leftovers(state)
            say("Nothing runs.")
    except locks.AlreadyRunning as running:
        say(f"Stopping process {running.pid} …")
        os.kill(running.pid, signal.SIGTERM)
        until(lambda: _free(lock), "its end", STOP_SECONDS)


def redrive_queue(state: State, queue: str) -> None:
    """Put the dead letters of a queue of the running stack back."""
    moved = redrive(_running_aws(state), APPLICATION, queue)
    say(f"{moved} dead letters of the {queue} queue are back in it.")


def invoke_function(state: State, name: str, event: bytes) -> Any:
    """The answer of a function of the running stack to an event."""
    aws = _running_aws(state)
    known = physical_ids(aws, APPLICATION) | physical_ids(aws, MIGRATIONS)
    function = known.get(f"{name.capitalize()}Function")
    if function is None:
        raise LocalError(f"there is no function {name!r}")
    return invoke(aws, function, json.loads(event))


def write_container_template(state: State) -> Path:
    """The template by which `sam local invoke` runs functions against the running stack."""
    return containers.write_template(state, _running_aws(state), APPLICATION)


@contextmanager
def started(state: State, **options: float) -> Iterator[Local]:
    """The stack, with its progress on the terminal; the first Ctrl-C ends it, and is the last."""
    begun = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with stack.running(
            state, lambda step: say(f"{time.monotonic() - begun:6.1f} s  {step}"), **options
        ) as local:
            try:
                yield local
            except LocalError:
                _tell(local.logs)
                raise
    except locks.AlreadyRunning as running:
        raise LocalError(
            f"It runs already in this checkout, as process {running.pid}: look for its terminal,"
            " or end it with `make down`."
        ) from running


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _tell(logs: FunctionLogs) -> None:
    for line in logs.follow():
        say(f"{line} (see {os.path.relpath(logs.path)})")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stopping takes some seconds, in which another Ctrl-C would leave processes behind."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    say("\nStopping …")
    raise KeyboardInterrupt


def _warm(local: Local) -> None:
    """Start the functions beforehand, and tell of those that do not start."""
    try:
        local.aws.warm()
    except Unreachable:
        return  # After a Ctrl-C; an emulator that ends by itself is told of as a process.
    except LocalError as error:
        say(str(error))


def _send_first_messages(local: Local, connected: Sequence[Tenant]) -> None:
    if local.state.read("messages"):
        return
    say("Sending a handful of messages, and waiting for their drafts")
    by_slug = {tenant.slug: tenant for tenant in connected}
    for slug, channel, customer, text in MESSAGES:
        send(by_slug[slug].channels[channel], customer, text)
    for tenant in connected:
        _wait_for_drafts(Api(local.gateway.url, tenant.api_key), tenant.slug)
    local.state.write("messages", {"sent": len(MESSAGES)})


def _wait_for_drafts(api: Api, slug: str) -> None:
    wanted = {customer for tenant, _, customer, _ in MESSAGES if tenant == slug}
    until(lambda: _drafted(api, wanted), "a draft for each message", 90)


def _drafted(api: Api, wanted: set[str]) -> bool | None:
    """True once each of these customers has a draft, or the reason for none."""
    settled = {
        item["conversation"]["customer"]["address"].removeprefix("whatsapp:")
        for item in api.feed()
        if item["draft"] or item["request"]["status"] in ("abstained", "failed")
    }
    return True if wanted <= settled else None


def _welcome(local: Local, tenant: Tenant) -> str:
    api = Api(local.gateway.url, tenant.api_key)
    drafts = [item["draft"]["id"] for item in api.feed() if item["draft"]]
    lines = [
        "",
        f"Countersign runs. {len(drafts)} drafts wait for {tenant.name}.",
        "",
        f"  API     {api.url}",
        f"  Key     {api.key}",
        "",
        "In another terminal:",
        "",
        f"  export API={api.url} KEY={api.key}",
        '  curl -s -H "Authorization: Bearer $KEY" $API/v1/feed',
        '  curl -s -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
        '    -d \'{"query":"which AN size fits a 3/8 line?","limit":3}\' $API/v1/search',
    ]
    if drafts:
        token = api.get(f"/v1/drafts/{drafts[0]}")["revision_token"]
        lines += [
            f'  curl -s -H "Authorization: Bearer $KEY" $API/v1/drafts/{drafts[0]}',
            '  curl -s -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\',
            f'    -d \'{{"revision_token":"{token}"}}\' $API/v1/drafts/{drafts[0]}/approval',
        ]
    lines += [
        "",
        f"  What the providers got  {local.simulator.url}/_requests",
        f"  Logs                    {os.path.relpath(local.state.logs)}",
        f"  Database                postgresql://{local.cluster.user}:{local.cluster.password}"
        f"@127.0.0.1:{local.cluster.port}/{stack.DATABASE}",
        "",
        "Changes under functions/ and layers/shared/ are live in about a second. Ctrl-C stops all.",
    ]
    return "\n".join(lines)


def _free(lock: Path) -> bool | None:
    try:
        with locks.exclusive(lock):
            return True
    except locks.AlreadyRunning:
        return None


def _running_aws(state: State) -> Aws:
    if _free(state.folder / "lock"):
        raise LocalError("nothing runs here: start it with `make run`")
    emulator, port = state.read("processes").get("aws", {}), state.read("ports").get("aws", 0)
    # Until it listens, the port may be that of another stack.
    if not (emulator and processes.serves(emulator["pid"], port)):
        raise LocalError("it is still starting: wait until `make run` prints its addresses")
    return Aws(f"http://127.0.0.1:{port}")
