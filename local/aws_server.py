"""ministack, with cold starts as short as Lambda's. Runs inside `.local/aws` as a script.

ministack unpacks a function's layers again for each worker, and the interpreter compiles them
again: 2 to 4 seconds. Here each layer version is unpacked and compiled once, into a folder named
by its content, and workers read it from there. `POST /_local/warm?count=N` starts workers before
they are needed; `POST /_local/save` writes the state that is else written at the end only;
`POST /_local/busy` counts the calls that functions are working on.

The names that are replaced or called are private to ministack, so they are checked at the start:
another version fails at once and says why.
"""

import asyncio
import compileall
import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

PRIVATE_NAMES = {
    "ministack.core.lambda_runtime": (
        "Worker._spawn",
        "acquire_worker",
        "ensure_spawned",
        "release_worker",
        "workers_in_use",
    ),
    "ministack.services.lambda_svc": (
        "_resolve_layer_zip",
        "_functions._data",
        "_sqs_esm_concurrency",
    ),
    "ministack.core.responses": ("set_request_account_id", "set_request_region"),
    "ministack.core.persistence": ("save_all",),
    "ministack.app": ("app", "_build_persistence_save_dict"),
    "ministack.core.iam_actions": ("extract_iam_action",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
    "samtranslator.translator.transform": ("transform",),
}
UNUSED_LAYER_SECONDS = 14 * 86400

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

_unpacking = threading.Lock()


def main() -> None:
    """Serve on 127.0.0.1; arguments: port, folder of unpacked layers, SAM's site-packages."""
    port, layers = int(sys.argv[1]), Path(sys.argv[2])
    # ministack needs SAM's translator. It is SAM's own, out of the sight of the functions, which
    # would else find its pydantic where their layers lack theirs.
    sys.path.append(sys.argv[3])
    require_private_names()
    remove_unused(layers)
    read_layers_from(layers)
    read_concurrency_as_a_number()
    refer_to_secrets_by_arn()
    judge_batches_by_their_action()
    serve(port)


def require_private_names() -> None:
    """Exit with the missing names when this ministack is not the one we know."""
    missing = []
    for module_name, names in PRIVATE_NAMES.items():
        module = importlib.import_module(module_name)
        for name in names:
            value: Any = module
            for part in name.split("."):
                value = getattr(value, part, None)
            if value is None:
                missing.append(f"{module_name}.{name}")
    if missing:
        sys.exit(f"this version of ministack lacks {', '.join(missing)}: pin the tested version")


def remove_unused(layers: Path) -> None:
    """Delete layer versions that no worker has used for two weeks."""
    layers.mkdir(parents=True, exist_ok=True)
    for folder in layers.iterdir():
        if time.time() - folder.stat().st_mtime > UNUSED_LAYER_SECONDS:
            shutil.rmtree(folder)


def read_layers_from(layers: Path) -> None:
    """Let workers start without layers of their own, and look for them in `layers` instead."""
    lambda_svc = importlib.import_module("ministack.services.lambda_svc")
    worker = importlib.import_module("ministack.core.lambda_runtime").Worker
    spawn = worker._spawn

    def spawn_with_unpacked_layers(self: Any) -> None:
        declared = self.config
        archives = [lambda_svc._resolve_layer_zip(layer) for layer in declared.get("Layers") or []]
        folders = [str(unpacked(layers, archive)) for archive in archives if archive]
        variables = (declared.get("Environment") or {}).get("Variables") or {}
        self.config = declared | {
            "Layers": [],
            "Environment": {
                "Variables": variables | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(folders)}
            },
        }
        try:
            spawn(self)
        finally:
            self.config = declared

    worker._spawn = spawn_with_unpacked_layers


def unpacked(layers: Path, archive: bytes) -> Path:
    """The folder with this layer's content and its bytecode."""
    folder = layers / hashlib.sha256(archive).hexdigest()[:20]
    with _unpacking:
        if folder.exists():
            os.utime(folder)
            return folder
        # Unpacked aside and renamed, so that a killed server leaves no half layer.
        new = Path(tempfile.mkdtemp(dir=layers, prefix="new-"))
        with zipfile.ZipFile(io.BytesIO(archive)) as file:
            file.extractall(new)
        if not any(new.rglob(f"*.{sys.implementation.cache_tag}.pyc")):
            compileall.compile_dir(new, quiet=2)
        new.rename(folder)
    return folder


def read_concurrency_as_a_number() -> None:
    """ministack reads a Number parameter as text, and then all event sources stand still."""
    lambda_svc: Any = importlib.import_module("ministack.services.lambda_svc")
    limit = lambda_svc._sqs_esm_concurrency
    lambda_svc._sqs_esm_concurrency = lambda *arguments: int(limit(*arguments))


def refer_to_secrets_by_arn() -> None:
    """`Ref` of a secret is its ARN, as policies need it; ministack makes it the name."""
    provisioners = importlib.import_module("ministack.services.cloudformation.provisioners")
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    def by_arn(made: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
        return made[1]["Arn"], made[1]

    def name(arn: str) -> str:
        return arn.partition(":secret:")[2].rpartition("-")[0]

    handlers["create"] = lambda *given: by_arn(create(*given))
    handlers["update"] = lambda arn, *given, **named: by_arn(update(name(arn), *given, **named))
    handlers["delete"] = lambda arn, *given: delete(name(arn), *given)


def judge_batches_by_their_action() -> None:
    """Sending a batch needs `sqs:SendMessage`; IAM knows no action SendMessageBatch."""
    iam: Any = importlib.import_module("ministack.core.iam_actions")
    extract = iam.extract_iam_action

    def action(*given: Any, **named: Any) -> Any:
        found = extract(*given, **named)
        return found.removesuffix("Batch") if str(found).startswith("sqs:") else found

    iam.extract_iam_action = action


def warm(count: int) -> dict[str, str]:
    """Have `count` idle workers ready for each function; returns why some do not start, by name.

    As many start at once as there are cores, so that the first are soon there: functions with the
    shortest timeouts, since it is for those that somebody waits.
    """
    lambda_svc = importlib.import_module("ministack.services.lambda_svc")
    failed: dict[str, str] = {}

    def start(account: str, region: str, name: str, record: dict[str, Any]) -> None:
        try:
            start_workers(account, region, name, record, count)
        except Exception as error:
            failed[name] = str(error)

    known = lambda_svc._functions._data
    functions = [(*key, record) for key, record in known.items() if record.get("code_zip")]
    functions.sort(key=lambda function: function[-1]["config"]["Timeout"])
    with ThreadPoolExecutor(os.cpu_count()) as starters:
        list(starters.map(lambda function: start(*function), functions))
    return failed


def start_workers(account: str, region: str, name: str, record: dict[str, Any], count: int) -> None:
    """Lease `count` workers of one function together, give them back, start them.

    A call that comes meanwhile gets one of them and waits for it, instead of starting one more.
    """
    runtime = importlib.import_module("ministack.core.lambda_runtime")
    responses = importlib.import_module("ministack.core.responses")
    responses.set_request_account_id(account)
    responses.set_request_region(region)
    workers = []
    try:
        for _ in range(count):
            worker, _reason = runtime.acquire_worker(name, record["config"], record["code_zip"])
            workers.append(worker)
    finally:
        for worker in workers:
            runtime.release_worker(worker)
    for worker in workers:
        runtime.ensure_spawned(worker)


def save() -> None:
    """Write the state to disk as a graceful stop does."""
    app = importlib.import_module("ministack.app")
    persistence = importlib.import_module("ministack.core.persistence")
    persistence.save_all(app._build_persistence_save_dict())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Our two paths, and ministack for everything else."""
    path = scope.get("path", "") if scope["type"] == "http" else ""
    if path == "/_local/warm":
        query = parse_qs(scope["query_string"].decode())
        failed = await asyncio.to_thread(warm, int(query.get("count", ["1"])[0]))
        await answer(send, 200 if not failed else 500, {"failed": failed})
    elif path == "/_local/save":
        await asyncio.to_thread(save)
        await answer(send, 200, {})
    elif path == "/_local/busy":
        runtime = importlib.import_module("ministack.core.lambda_runtime")
        await answer(send, 200, {"busy": runtime.workers_in_use()})
    else:
        # Policies demand TLS, which nothing on this machine has.
        await importlib.import_module("ministack.app").app(
            scope | {"scheme": "https"}, receive, send
        )


async def answer(send: Send, status: int, body: dict[str, Any]) -> None:
    """Send a JSON response."""
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def serve(port: int) -> None:
    """Serve until SIGTERM; hypercorn then lets ministack write its state."""
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    asyncio.run(importlib.import_module("hypercorn.asyncio").serve(application, config))


if __name__ == "__main__":
    main()
