"""Deploy to AWS: migrations of phase `pre`, the application, migrations of phase `post`.

    python -m tools.deploy STACK

Three stacks: STACK-database (optional, from infra/database.yaml), STACK-migrations and STACK. What
one outputs is a parameter of the same name in the next; samconfig.toml's parameters come before.
"""

from __future__ import annotations

import json
import sys
import tomllib
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tools import sam
from tools.environment import ROOT
from tools.template import load

MIGRATIONS = "infra/migrations.yaml"
CONFIG = ROOT / "samconfig.toml"
Parameters = dict[str, str]


def main(stack: str) -> None:
    """Deploy `stack` and its migrations; exits with a message where it cannot go on."""
    chosen = _configured()
    runtime = chosen.get("Runtime", "python3.13")
    _require_python(runtime)
    platform = {"PLATFORM": "lambda", "RUNTIME": runtime}
    platform["ARCHITECTURE"] = chosen.get("Architecture", "arm64")
    for template in sam.BUILT:
        sam.build(template, platform)
    known = _outputs(f"{stack}-database") | chosen
    address = _outputs(stack).get("ApiUrl", "")
    _deploy(MIGRATIONS, f"{stack}-migrations", {"PublicUrl": address} | known)
    known = _outputs(f"{stack}-migrations") | known
    _migrate(known["MigrationsFunctionName"], "pre")
    _deploy("template.yaml", stack, known)
    _migrate(known["MigrationsFunctionName"], "post")
    url = _outputs(stack)["ApiUrl"]
    if url != address:
        # The bootstrap event names webhooks by the API's address, which the first deploy makes.
        _deploy(MIGRATIONS, f"{stack}-migrations", {"PublicUrl": url} | known)
    print(f"Deployed. The API is at {url}")


def _configured() -> Parameters:
    """The parameters of samconfig.toml, whose list holds `Name=value`."""
    config = tomllib.loads(CONFIG.read_text())
    overrides = config["default"]["deploy"]["parameters"]["parameter_overrides"]
    return dict(each.split("=", 1) for each in overrides)


def _require_python(runtime: str) -> None:
    running = "python{}.{}".format(*sys.version_info[:2])
    if running != runtime:
        sys.exit(
            f"This is {running}, but the functions will run {runtime}, and only the same version "
            f"writes their bytecode: make deploy PYTHON={runtime}, or choose another Runtime in "
            "samconfig.toml."
        )


def _outputs(stack: str) -> Parameters:
    """What `stack` outputs; nothing if there is no such stack."""
    try:
        described = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    return {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}


def _deploy(template: str, stack: str, known: Parameters) -> None:
    print(f"Deploying {stack} …", flush=True)
    declared = _declared(template)
    missing = [name for name, given in declared.items() if not given and name not in known]
    if missing:
        sys.exit(f"{template} needs {', '.join(missing)}: add them to samconfig.toml.")
    # SAM takes no empty value; each such parameter is empty by default.
    overrides = [f"{name}={known[name]}" for name in declared if known.get(name)]
    built = f"{sam.BUILT[template]}/template.yaml"
    arguments = ["deploy", "--config-file", str(CONFIG), "--no-progressbar"]
    arguments += ["--template-file", built, "--stack-name", stack, "--s3-prefix", stack]
    sam.run([*arguments, "--parameter-overrides", *overrides])


def _declared(template: str) -> dict[str, bool]:
    """The parameters of a template, and whether each has a default."""
    parameters = load(ROOT / template)["Parameters"]
    return {name: "Default" in each for name, each in parameters.items()}


def _migrate(function: str, phase: str) -> None:
    print(f"Migrating, phase {phase} …", flush=True)
    # As long as a function may run, and never twice.
    config = Config(read_timeout=905, retries={"total_max_attempts": 1})
    client = boto3.client("lambda", config=config)
    answer = client.invoke(FunctionName=function, Payload=json.dumps({"action": phase}))
    said: Any = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        sys.exit(f"The migrations of phase {phase} failed, nothing after them was done: {said}")
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
