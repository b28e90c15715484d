"""Run SAM: from its own environment, quiet unless it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tools.environment import ROOT

SAM = ROOT / ".local" / "sam" / "bin" / "sam"
LOGS = ROOT / ".local" / "logs"
# Where `sam build` puts what it made of each template.
BUILT = {"template.yaml": ".aws-sam/build", "infra/migrations.yaml": ".aws-sam/migrations"}


def build(template: str, environment: Mapping[str, str] | None = None) -> None:
    """`sam build` of a template, into its folder of `BUILT`."""
    run(["build", "--template", template, "--build-dir", BUILT[template]], environment)


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run `sam` with more in its environment; if it fails, print all that it said and exit."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"sam-{arguments[0]}.log"
    # SAM wants a region even where it calls nobody.
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    with log.open("wb") as output:
        done = subprocess.run(
            [str(SAM), *arguments],
            cwd=ROOT,
            env={**region, **os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if done.returncode:
        sys.exit(f"{log.read_text()}\nsam {arguments[0]} failed; the above is {log}.")
