"""The routes of an HTTP API, which the emulator does not take from the template's `Body`.

SAM writes an API's routes as an OpenAPI document into its resource. CloudFormation imports it; the
emulator makes an API without routes. So they are read from the processed template and created one
by one, as API Gateway would have done.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from local.aws import Aws
from local.deploy import physical_ids
from local.errors import LocalError

_ANY = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"
_FUNCTION = re.compile(r"\$\{(\w+)\.Arn\}")


class RoutesFailed(LocalError):
    """The template describes a route that the emulator cannot be given."""


def create_routes(aws: Aws, stack: str) -> str:
    """Give the stack's HTTP API exactly the routes of its template; returns its id."""
    template = _processed(aws, stack)
    apis = [
        (name, resource)
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::ApiGatewayV2::Api"
    ]
    if len(apis) != 1:
        raise RoutesFailed(f"the stack {stack} has {len(apis)} HTTP APIs, one is expected")
    name, resource = apis[0]
    functions = physical_ids(aws, stack)
    api_id = functions[name]
    wanted = {route: functions[function] for route, function in _described(resource)}
    _match(aws, api_id, wanted)
    return api_id


def _processed(aws: Aws, stack: str) -> dict[str, Any]:
    client = aws.client("cloudformation")
    body = client.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    template: dict[str, Any] = json.loads(body) if isinstance(body, str) else body
    return template


def _described(api: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each route key (`POST /path`) with the logical id of its function."""
    for path, methods in api["Properties"]["Body"]["paths"].items():
        for method, operation in methods.items():
            uri = operation[_INTEGRATION]["uri"]
            function = _FUNCTION.search(uri["Fn::Sub"] if isinstance(uri, dict) else uri)
            if function is None:
                raise RoutesFailed(f"{method} {path} goes to {uri}, which is no function")
            yield f"{'ANY' if method == _ANY else method.upper()} {path}", function[1]


def _match(aws: Aws, api_id: str, wanted: dict[str, str]) -> None:
    client = aws.client("apigatewayv2")
    integrations = {
        each["IntegrationId"]: each["IntegrationUri"]
        for each in client.get_integrations(ApiId=api_id)["Items"]
    }
    kept = set()
    for route in client.get_routes(ApiId=api_id)["Items"]:
        integration = route["Target"].removeprefix("integrations/")
        if wanted.get(route["RouteKey"]) == integrations.get(integration):
            kept.add(route["RouteKey"])
        else:
            client.delete_route(ApiId=api_id, RouteId=route["RouteId"])
    by_function = {uri: integration for integration, uri in integrations.items()}
    for key in sorted(set(wanted) - kept):
        function = wanted[key]
        if function not in by_function:
            by_function[function] = client.create_integration(
                ApiId=api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri=function,
                PayloadFormatVersion="2.0",
            )["IntegrationId"]
        client.create_route(
            ApiId=api_id, RouteKey=key, Target=f"integrations/{by_function[function]}"
        )
