"""The real templates, deployed to the emulated AWS by the real `sam`."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.aws import SAM, Aws
from local.errors import LocalError
from local.processes import tail
from local.state import State
from tools.package import cached

ARTIFACTS_BUCKET = "countersign-artifacts"
LARGE_LAYER = "DependenciesLayer"
_NOT_SOURCE = {"__pycache__", ".mypy_cache", ".ruff_cache"}


class DeployFailed(LocalError):
    """`sam` failed; the message holds the end of its output."""


@dataclass(frozen=True)
class Stack:
    """A stack to be: its built template, and the files that the template and the code come from."""

    name: str
    template: Path
    sources: Sequence[Path]
    parameters: Mapping[str, str]

    def fingerprint(self) -> str:
        """Changes when the stack would."""
        digest = hashlib.sha256(json.dumps(self.parameters, sort_keys=True).encode())
        for file in files(self.sources):
            digest.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()


def is_deployed(state: State, aws: Aws, stack: Stack) -> bool:
    """Whether the emulator has this stack, as it would be deployed now."""
    known = state.read("deployed").get(stack.name) == stack.fingerprint()
    return known and bool(outputs(aws, stack.name))


def deploy(state: State, aws: Aws, stack: Stack) -> None:
    """Create or update the stack. Raises DeployFailed."""
    client = aws.client("s3")
    client.create_bucket(Bucket=ARTIFACTS_BUCKET)
    fingerprint = stack.fingerprint()
    overrides = [f'{name}="{value}"' for name, value in stack.parameters.items() if value]
    template = with_archive(stack.template)
    arguments = ["deploy", "--template-file", str(template), "--stack-name", stack.name]
    arguments += ["--s3-bucket", ARTIFACTS_BUCKET, "--s3-prefix", stack.name]
    arguments += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
    arguments += ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    arguments += ["--parameter-overrides", *overrides] if overrides else []
    _sam(state, aws, f"deploy-{stack.name}", arguments)
    state.write("deployed", state.read("deployed") | {stack.name: fingerprint})


def with_archive(template: Path) -> Path:
    """The built template, with the archive of its third-party layer in the place of its folder.

    `sam deploy` would make that archive again each time, which takes seconds: it is large and
    changes with its lock file alone. The template lies beside the built one.
    """
    folder = template.with_name(LARGE_LAYER)
    if not folder.exists():
        return template
    known = [
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files([folder])
    ]

    def fill(archives: Path) -> None:
        archives.mkdir()
        shutil.make_archive(str(archives / LARGE_LAYER), "zip", folder)

    archive = cached("archive", json.dumps(known).encode(), fill) / f"{LARGE_LAYER}.zip"
    text = template.read_text().replace(f"ContentUri: {LARGE_LAYER}", f"ContentUri: {archive}")
    changed = template.with_name("deployed.yaml")
    changed.write_text(text)
    return changed


def outputs(aws: Aws, stack: str) -> dict[str, str]:
    """The stack's outputs by name; empty where there is no such stack."""
    client = aws.client("cloudformation")
    try:
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
    except client.exceptions.ClientError:
        return {}
    return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}


def physical_ids(aws: Aws, stack: str) -> dict[str, str]:
    """Names and addresses of the stack's resources by their logical ids."""
    pages = aws.client("cloudformation").get_paginator("list_stack_resources")
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages.paginate(StackName=stack)
        for resource in page["StackResourceSummaries"]
    }


def invoke(aws: Aws, function: str, event: Mapping[str, Any]) -> Any:
    """A function's answer to an event. Raises DeployFailed with the function's own error."""
    client = aws.client("lambda")
    answer = client.invoke(FunctionName=function, Payload=json.dumps(event))
    value = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise DeployFailed(f"{function} failed for {json.dumps(event)}: {value}")
    return value


def _sam(state: State, aws: Aws, log_name: str, arguments: Sequence[str]) -> None:
    log = state.logs / f"{log_name}.log"
    settings = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state.folder),
        "__SAM_CLI_APP_DIR": str(state.folder / "sam"),
        "SAM_CLI_TELEMETRY": "0",
        # Seconds; it looks whether it is done and waits five seconds more by default.
        "SAM_CLI_POLL_DELAY": "0.2",
        "LANG": "C.UTF-8",
    }
    with log.open("wb") as output:
        result = subprocess.run(
            [str(SAM / "bin" / "sam"), *arguments],
            env=settings | aws.environment(),
            # Away from samconfig.toml, whose settings are for AWS.
            cwd=state.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if result.returncode != 0:
        raise DeployFailed(f"sam {arguments[0]} failed, see {log}:\n{tail(log)}")


def files(sources: Iterable[Path]) -> list[Path]:
    """The source files at these paths and below, without what tools make beside them."""
    found: list[Path] = []
    for source in sources:
        if source.is_file():
            found.append(source)
        for folder, folders, names in os.walk(source):
            folders[:] = [name for name in folders if name not in _NOT_SOURCE]
            found += [Path(folder) / name for name in names if not name.endswith(".pyc")]
    return sorted(found)
