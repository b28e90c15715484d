"""Changed code into the running functions, without a deploy.

What runs then differs from what was deployed, so the next start deploys it properly.
"""

import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from botocore.exceptions import ClientError

from local.aws import Aws
from local.deploy import files, physical_ids
from local.processes import ProcessFailed
from local.stack import APPLICATION, Report
from local.state import CHECKOUT

FUNCTIONS, SHARED = CHECKOUT / "functions", CHECKOUT / "layers" / "shared"
# Deployed and run at a start alone, with its own packages.
NOT_WATCHED = "migrations"
LOOK_SECONDS = 0.3
IDLE_SECONDS = 5.0

Snapshot = dict[Path, int]


def watch(aws: Aws, report: Report) -> Iterator[None]:
    """Look for changed code at each step of the iteration, and reload what it belongs to.

    The old code stays where the new does not compile. `report` is told what came of it.
    """
    before = snapshot()
    while True:
        time.sleep(LOOK_SECONDS)
        now = snapshot()
        changed = {path for path, _ in before.items() ^ now.items()}
        before = now
        if changed:
            _reload(aws, changed, report)
        yield


def snapshot() -> Snapshot:
    """The time of the last change of each file of the functions and of the shared layer."""
    found = {}
    folders = [folder for folder in FUNCTIONS.iterdir() if folder.name != NOT_WATCHED]
    for file in files([*filter(Path.is_dir, folders), SHARED / "countersign"]):
        with suppress(FileNotFoundError):
            found[file] = file.stat().st_mtime_ns
    return found


def _reload(aws: Aws, changed: set[Path], report: Report) -> None:
    started = time.monotonic()
    names = sorted({_part(path) for path in changed})
    try:
        _compile(changed)
        archives = {name: _package(name) for name in names}
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


def _package(name: str) -> bytes:
    """The archive of a function, or of the shared layer, made as `sam build` would."""
    kind, source = ("shared", SHARED) if name == "shared" else ("function", FUNCTIONS / name)
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(
            [sys.executable, "-m", "tools.package", kind, str(source), folder],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            raise ProcessFailed(f"{name} cannot be packaged:\n{made.stderr}")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for file in sorted(Path(folder).rglob("*")):
                archive.write(file, file.relative_to(folder))
    return content.getvalue()


def _wait_until_idle(aws: Aws) -> None:
    """A message whose worker is ended comes back after minutes only, so let those finish."""
    deadline = time.monotonic() + IDLE_SECONDS
    while aws.busy() and time.monotonic() < deadline:
        time.sleep(0.02)


def _replace(aws: Aws, name: str, archive: bytes) -> None:
    client = aws.client("lambda")
    known = physical_ids(aws, APPLICATION)
    if name != "shared":
        function = known[f"{name.capitalize()}Function"]
        client.update_function_code(FunctionName=function, ZipFile=archive)
        return
    layer = next(arn for logical, arn in known.items() if logical.startswith("SharedLayer"))
    unversioned = layer.rpartition(":")[0]
    layer_name = unversioned.rpartition(":")[2]
    new = client.publish_layer_version(LayerName=layer_name, Content={"ZipFile": archive})
    for logical, function in known.items():
        if logical.endswith("Function"):
            used = client.get_function_configuration(FunctionName=function)["Layers"]
            arns = [each["Arn"] for each in used]
            client.update_function_configuration(
                FunctionName=function,
                Layers=[
                    new["LayerVersionArn"] if arn.startswith(f"{unversioned}:") else arn
                    for arn in arns
                ],
            )
