"""`sam local invoke`, where Docker exists: the built template, bound to the running stack.

`sam local` passes a container only variables that the template declares, and declares none of the
SDK's own: so each function gets here what its deployed twin has, and where the emulated AWS is.
"""

import json
import platform
import sys
from pathlib import Path
from typing import Any

from local.aws import Aws
from local.deploy import physical_ids
from local.state import CHECKOUT, State
from tools import template

BUILT = CHECKOUT / ".aws-sam" / "build"
ARCHITECTURES = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def write_template(state: State, aws: Aws, stack: str) -> Path:
    """Write the template beside the built one; returns its path. Containers share our network."""
    built = template.load(BUILT / "template.yaml")
    deployed = physical_ids(aws, stack)
    for name, function in template.of_type(built, "AWS::Serverless::Function").items():
        properties = function["Properties"]
        properties["Runtime"] = "python{}.{}".format(*sys.version_info[:2])
        properties["Architectures"] = [ARCHITECTURES[platform.machine()]]
        properties["Environment"] = {"Variables": _variables(state, aws, deployed[name])}
    path = BUILT / "containers.json"
    path.write_text(json.dumps(built, indent=1))
    return path


def _variables(state: State, aws: Aws, function: str) -> dict[str, str]:
    found = aws.client("lambda").get_function_configuration(FunctionName=function)
    variables: dict[str, Any] = found["Environment"]["Variables"] | aws.environment()
    # As local.stack starts the emulator with.
    providers = state.read("ports")["providers"]
    variables["AWS_ENDPOINT_URL_SESV2"] = f"http://127.0.0.1:{providers}"
    if "DATABASE_HOST" in variables:
        # The socket's folder is not in the container; the same server listens on 127.0.0.1 too.
        port = state.read("ports")["postgres"]
        variables |= {"DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(port)}
    return {name: str(value) for name, value in variables.items()}
