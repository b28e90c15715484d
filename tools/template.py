"""Read CloudFormation templates, short functions (`!Ref`) included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Turns `!Name value` into the long form, `{"Fn::Name": value}`."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt":
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


def load(path: Path) -> Template:
    """The template of a file, its functions in their long form."""
    template: Template = yaml.load(path.read_text(), Loader=_Loader)
    return template


def functions(template: Template) -> dict[str, dict[str, Any]]:
    """The functions of a template, by the name of their folder."""
    found = of_type(template, "AWS::Serverless::Function")
    return {Path(each["Properties"]["CodeUri"]).name: each for each in found.values()}


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The resources of one type, by logical id."""
    resources: dict[str, dict[str, Any]] = template["Resources"]
    return {name: each for name, each in resources.items() if each["Type"] == kind}


def sources(template: Template, function: str) -> list[dict[str, Any]]:
    """The event source mappings of a function, which is named by its folder."""
    (logical_id,) = (
        name
        for name, each in of_type(template, "AWS::Serverless::Function").items()
        if Path(each["Properties"]["CodeUri"]).name == function
    )
    mappings = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    properties = [each["Properties"] for each in mappings]
    return [each for each in properties if each["FunctionName"] == {"Ref": logical_id}]
