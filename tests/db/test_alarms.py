"""Every alarm of template.yaml is on what is really measured, and the runbook says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest

from countersign.channels import sending
from countersign.channels.messages import Unknown
from functions.outbound import app as outbound
from tests import world
from tests.conftest import TestDatabase
from tests.ledger import Ledger
from tests.world import SENDING_SETTINGS, MemoryQueues, Path, memory_queues
from tools import template
from tools.environment import ROOT

__all__ = ["memory_queues"]

APPLICATION = template.load(ROOT / "template.yaml")
ALARMS = {
    name: alarm["Properties"]
    for name, alarm in template.of_type(APPLICATION, "AWS::CloudWatch::Alarm").items()
}
OURS = "Countersign"
# The metrics of our own that CloudWatch takes from lines of a log, by name.
FILTERED = {
    made["MetricName"]: (made, one["Properties"])
    for one in template.of_type(APPLICATION, "AWS::Logs::MetricFilter").values()
    for made in one["Properties"]["MetricTransformations"]
}
QUEUE = "AWS::SQS::Queue"
# What AWS measures, and of which kind of resource: the dimension and what gives its value.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
MEASURED_BY_AWS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("QueueName", QUEUE),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("QueueName", QUEUE),
    ("AWS/Lambda", "Errors"): ("FunctionName", "AWS::Serverless::Function"),
    ("AWS/ApiGateway", "5xx"): ("ApiId", "AWS::Serverless::HttpApi"),
}
# The resource that an alarm is about, by what its name ends with.
ABOUT = {
    "DeadLettersAlarm": "DeadLetterQueue",
    "OldestMessageAlarm": "Queue",
    "ApiErrorsAlarm": "Api",
    "ErrorsAlarm": "Function",
}
_FIRST_WORD = re.compile("[A-Z][a-z]+")
_ENTRY = re.compile(r"^## .*?((?:\w+-, )*)(\w+Alarm)\n\n(.+?)(?=^## |\Z)", re.M | re.S)


@pytest.mark.parametrize("name", [name for name, of in ALARMS.items() if of["Namespace"] != OURS])
def test_an_alarm_on_aws_is_on_what_aws_measures_of_the_resource_in_its_name(name: str) -> None:
    alarm = ALARMS[name]
    dimension, kind = MEASURED_BY_AWS[alarm["Namespace"], alarm["MetricName"]]
    ending = next(ending for ending in ABOUT if name.endswith(ending))
    resource = name.removesuffix(ending) + ABOUT[ending]
    assert APPLICATION["Resources"][resource]["Type"] == kind
    value = {"Fn::GetAtt": [resource, "QueueName"]} if kind == QUEUE else {"Ref": resource}
    assert alarm["Dimensions"] == [{"Name": dimension, "Value": value}]


def unknown_for_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that the provider never confirmed, and that no look-up finds."""
    ledger = Ledger(path, monkeypatch)
    ledger.answers(Unknown("timeout"))
    monkeypatch.setattr(sending, "look_up", lambda claim, settings: [])
    monkeypatch.setattr(outbound, "_ready", lambda: (SENDING_SETTINGS, path.outbox))
    bodies = [{"organization_id": str(path.tenant.organization_id), "delivery_id": str(ledger.id)}]
    while bodies:
        record = {"messageId": "1", "body": json.dumps(bodies.pop(0))}
        assert outbound.lambda_handler({"Records": [record]}, None) == {"batchItemFailures": []}
        bodies += path.sent.take("outbound")


# What leads to each metric of our own that has an alarm, and the function that it happens in.
LEADS_TO: dict[str, tuple[str, Callable[[Path, pytest.MonkeyPatch], None]]] = {
    "UnknownSends": ("outbound", unknown_for_good)
}


def of_our_own(*, filtered: bool) -> list[str]:
    """The alarms on metrics of our own: those taken from a log, or those that functions write."""
    ours = [name for name, alarm in ALARMS.items() if alarm["Namespace"] == OURS]
    return [name for name in ours if (ALARMS[name]["MetricName"] in FILTERED) == filtered]


@pytest.mark.parametrize("name", of_our_own(filtered=False))
def test_an_alarm_of_our_own_is_on_what_the_function_writes(
    name: str,
    database: TestDatabase,
    memory_queues: MemoryQueues,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    alarm = ALARMS[name]
    function, happen = LEADS_TO[alarm["MetricName"]]
    for variable, value in environment(function).items():
        monkeypatch.setenv(variable, value)
    tenant = world.add_tenant(database)
    world.add_knowledge(database, tenant, ["Returns are free for 30 days."])
    happen(Path(database, tenant, memory_queues), monkeypatch)
    (written,) = metrics(capsys.readouterr().out, alarm["MetricName"])
    (described,) = written["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == alarm["Namespace"]
    wanted = {one["Name"]: one["Value"] for one in alarm["Dimensions"]}
    assert [set(names) for names in described["Dimensions"]] == [wanted.keys()]
    assert {name: written[name] for name in wanted} == wanted


def environment(function: str) -> dict[str, str]:
    """What the template tells a function of itself and its metrics."""
    everywhere = APPLICATION["Globals"]["Function"]["Environment"]["Variables"]
    own = template.functions(APPLICATION)[function]["Properties"]["Environment"]["Variables"]
    given = (everywhere | own).items()
    return {name: value for name, value in given if name.startswith("POWERTOOLS_")}


def metrics(output: str, name: str) -> list[dict[str, Any]]:
    """The lines of a function's output that CloudWatch takes a metric of that name from.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    lines = [json.loads(line) for line in output.splitlines() if '"_aws"' in line]
    return [
        line
        for line in lines
        for described in line["_aws"]["CloudWatchMetrics"]
        if name in [metric["Name"] for metric in described["Metrics"]]
    ]


WEBHOOK, API = "POST /webhooks/{channel_key}", "ANY /v1/{proxy+}"
# Of each metric that is taken from the access log: requests that count, and that do not.
COUNTS: dict[str, tuple[list[dict[str, str]], list[dict[str, str]]]] = {
    "TooLargeWebhooks": (
        [
            {"status": "413", "routeKey": WEBHOOK},
            # The gateway may refuse a body before it knows the route.
            {"status": "413", "routeKey": "-"},
        ],
        [{"status": "413", "routeKey": API}, {"status": "200", "routeKey": WEBHOOK}],
    )
}


@pytest.mark.parametrize("name", of_our_own(filtered=True))
def test_an_alarm_on_a_log_is_on_lines_that_are_written_there(name: str) -> None:
    made, filter_ = FILTERED[ALARMS[name]["MetricName"]]
    assert (made["MetricNamespace"], made["MetricValue"]) == (OURS, "1")
    assert "Dimensions" not in ALARMS[name]
    written = APPLICATION["Resources"]["Api"]["Properties"]["AccessLogSettings"]
    assert written["DestinationArn"] == {"Fn::GetAtt": [filter_["LogGroupName"]["Ref"], "Arn"]}
    counted, others = COUNTS[made["MetricName"]]
    for context in counted:
        assert matches(filter_["FilterPattern"], access_line(written["Format"], context))
    for context in others:
        assert not matches(filter_["FilterPattern"], access_line(written["Format"], context))
    assert not matches(filter_["FilterPattern"], {"level": "INFO", "status": "413"})


def access_line(form: str, context: Mapping[str, str]) -> dict[str, str]:
    """A line of the access log, as the gateway fills in its format."""
    line = re.sub(r"\$context\.([\w.]+)", lambda match: context.get(match[1], "-"), form)
    found: dict[str, str] = json.loads(line)
    return found


def matches(pattern: str, line: Mapping[str, str]) -> bool:
    """Whether a filter pattern of terms for texts, joined by `&&`, is true of a line in JSON.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/matching-terms-json-log-events.html
    """
    terms = re.fullmatch(r"\{ (\(.+\)) \}", pattern)
    assert terms
    for term in terms[1].split(" && "):
        said = re.fullmatch(r'\(\$\.(\w+) (=|!=) "([^"]*)"\)', term)
        assert said
        if said[1] not in line or fnmatchcase(line[said[1]], said[3]) != (said[2] == "="):
            return False
    return True


def test_the_runbook_has_an_entry_for_each_alarm_and_for_no_other() -> None:
    entries = _ENTRY.findall((ROOT / "docs" / "runbook.md").read_text())
    named: list[str] = []
    for others, last, _ in entries:
        ending = _FIRST_WORD.sub("", last, count=1)
        named += [other + ending for other in re.findall(r"\w+", others)] + [last]
    assert sorted(named) == sorted(ALARMS)
