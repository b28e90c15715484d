"""Check every template thrice: SAM's own validation, cfn-lint, and the translator as a library.

Runs in the environment of SAM (`.local/sam/bin/python tools/templates.py`). The translator finds
misspelled event properties that cfn-lint lets pass, cfn-lint finds what only CloudFormation would
refuse; it knows nothing of local folders, so those become addresses in S3 first.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from boto3.session import Session
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.translator import Translator

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
BIN = Path(sys.executable).parent


def main() -> None:
    """Print each fault; exit with 1 if there is any."""
    os.environ["AWS_DEFAULT_REGION"] = REGION
    # Of its metrics, which nobody collects.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    templates = [ROOT / "template.yaml", *sorted((ROOT / "infra").glob("*.yaml"))]
    faults = _of_command([str(BIN / "cfn-lint"), *map(str, templates)])
    for template in templates:
        faults += _sam_faults(template)
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(templates)} templates hold.")


def _sam_faults(path: Path) -> list[str]:
    template = yaml_parse(path.read_text())
    if "Transform" not in template:
        return []
    faults = _of_command([str(BIN / "sam"), "validate", "--lint", "--template", str(path)])
    return faults + [f"{path.name}: {fault}" for fault in translation_faults(template)]


def _of_command(command: list[str]) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    return [done.stdout + done.stderr] if done.returncode else []


def translation_faults(template: dict[str, Any]) -> list[str]:
    """What the translator that CloudFormation runs would refuse in `template`, which it changes."""
    for resource in template["Resources"].values():
        for folder in {"CodeUri", "ContentUri"} & set(resource.get("Properties", {})):
            resource["Properties"][folder] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=Session(region_name=REGION))
    try:
        translator.translate(template, parameter_values={})
    except InvalidDocumentException as error:
        return [str(cause.message) for cause in error.causes]
    return []


if __name__ == "__main__":
    main()
