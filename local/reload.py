"""Changed code into the running functions, without a deploy.

What runs then differs from what was deployed, so the next start deploys it properly.
"""

import io
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from py_compile import PycInvalidationMode

from botocore.exceptions import ClientError

from local.aws import Aws
from local.deploy import files, physical_ids
from local.processes import ProcessFailed
from local.stack import APPLICATION, Report
from local.state import CHECKOUT
from tools.package import LAYER, TASK

FUNCTIONS, SHARED = CHECKOUT / "functions", CHECKOUT / "layers" / "shared"
# Deployed and run at a start alone, with its own packages.
NOT_WATCHED = "migrations"
LOOK_SECONDS = 0.2
IDLE_SECONDS = 5.0

Snapshot = dict[Path, int]


def watch(aws: Aws, report: Report) -> Iterator[None]:
    """Look for changed code at each step of the iteration, and reload what it belongs to.

    The old code stays where the new does not compile. `report` is told what came of it.
    """
    before = snapshot()
    with tempfile.TemporaryDirectory() as packages:
        while True:
            time.sleep(LOOK_SECONDS)
            now = snapshot()
            changed = {path for path, _ in before.items() ^ now.items()}
            before = now
            if changed:
                _reload(aws, Path(packages), changed, report)
            yield


def snapshot() -> Snapshot:
    """The time of the last change of each file of the functions and of the shared layer."""
    found = {}
    folders = [folder for folder in FUNCTIONS.iterdir() if folder.name != NOT_WATCHED]
    for file in files([*filter(Path.is_dir, folders), SHARED / "countersign"]):
        with suppress(FileNotFoundError):
            found[file] = file.stat().st_mtime_ns
    return found


def _reload(aws: Aws, packages: Path, changed: set[Path], report: Report) -> None:
    started = time.monotonic()
    names = sorted({_part(path) for path in changed})
    try:
        _compile(changed)
        archives = {name: _package(packages / name, changed) for name in names}
        _wait_until_idle(aws)
        for name, archive in archives.items():
            _replace(aws, name, archive)
        report(f"Reloaded {' and '.join(names)} in {time.monotonic() - started:.1f} s")
        aws.warm()
    except (ProcessFailed, ClientError) as error:
        report(f"The change does not work: {error}")


def _part(path: Path) -> str:
    """The function that a file belongs to, or `shared`."""
    inside = path.is_relative_to(FUNCTIONS)
    return path.relative_to(FUNCTIONS).parts[0] if inside else SHARED.name


def _compile(changed: set[Path]) -> None:
    for path in changed:
        if path.suffix == ".py" and path.exists():
            try:
                compile(path.read_bytes(), path, "exec")
            except SyntaxError as error:
                raise ProcessFailed(f"{path}, line {error.lineno}: {error.msg}") from error


def _package(package: Path, changed: set[Path]) -> bytes:
    """The archive of the function, or of the shared layer, that `package` is named after.

    The folder is made once, as `sam build` would; then it gets what has changed.
    """
    if package.exists():
        for path in changed:
            if _part(path) == package.name:
                _bring(path, package)
    else:
        _make(package)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(package.rglob("*")):
            archive.write(file, file.relative_to(package))
    return content.getvalue()


def _make(package: Path) -> None:
    shared = package.name == SHARED.name
    kind, source = ("shared", SHARED) if shared else ("function", FUNCTIONS / package.name)
    made = subprocess.run(
        [sys.executable, "-m", "tools.package", kind, str(source), str(package)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        shutil.rmtree(package, ignore_errors=True)
        raise ProcessFailed(f"{package.name} cannot be packaged:\n{made.stderr}")


def _bring(path: Path, package: Path) -> None:
    """Do to a file's copy in its package what was done to the file."""
    shared = package.name == SHARED.name
    inside = path.relative_to(SHARED if shared else FUNCTIONS / package.name)
    inside = "python" / inside if shared else inside
    copy = package / inside
    if not path.exists():
        copy.unlink(missing_ok=True)
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)
    if path.suffix == ".py":
        mounted = f"{LAYER if shared else TASK}/{inside}"
        py_compile.compile(
            str(copy), dfile=mounted, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
        )


def _wait_until_idle(aws: Aws) -> None:
    """A message whose worker is ended comes back after minutes only, so let those finish."""
    deadline = time.monotonic() + IDLE_SECONDS
    while aws.busy() and time.monotonic() < deadline:
        time.sleep(0.02)


def _replace(aws: Aws, name: str, archive: bytes) -> None:
    known = physical_ids(aws, APPLICATION)
    if name != "shared":
        function = known[f"{name.capitalize()}Function"]
        aws.client("lambda").update_function_code(FunctionName=function, ZipFile=archive)
        return
    layer = next(arn for logical, arn in known.items() if logical.startswith("SharedLayer"))
    _exchange_layer(
        aws,
        layer.rpartition(":")[0],
        [function for logical, function in known.items() if logical.endswith("Function")],
        archive,
    )


def _exchange_layer(aws: Aws, layer: str, functions: Sequence[str], archive: bytes) -> None:
    """Give all functions a new version of the layer at once: each ends its workers, and waits."""
    client = aws.client("lambda")
    name = layer.rpartition(":")[2]
    published = client.publish_layer_version(LayerName=name, Content={"ZipFile": archive})
    new: str = published["LayerVersionArn"]

    def exchange(function: str) -> None:
        used = client.get_function_configuration(FunctionName=function)["Layers"]
        arns = [new if each["Arn"].startswith(f"{layer}:") else each["Arn"] for each in used]
        client.update_function_configuration(FunctionName=function, Layers=arns)

    with ThreadPoolExecutor(len(functions)) as each:
        list(each.map(exchange, functions))
