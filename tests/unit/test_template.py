"""What the templates promise: queues that outlast their readers, least privilege, full settings."""

from __future__ import annotations

import importlib
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from tools import template

ROOT = Path(__file__).parents[2]
APPLICATION = template.load(ROOT / "template.yaml")
MIGRATIONS = template.load(ROOT / "infra" / "migrations.yaml")
ALL = template.functions(APPLICATION) | template.functions(MIGRATIONS)
QUEUES = ("Inbound", "Drafts", "Outbound", "Attachments", "Index", "Crawl", "Relay")
# Read by libraries or by the platform room, not by a function's settings.
COMMON = {"STAGE", "LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"}
LIBPQ = {"PGSSLROOTCERT"}


def properties(name: str) -> dict[str, Any]:
    found: dict[str, Any] = APPLICATION["Resources"][name]["Properties"]
    return found


def variables(function: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = function["Properties"]["Environment"]["Variables"]
    return found


def statements(function: dict[str, Any]) -> list[dict[str, Any]]:
    """The policy statements of a function; of a conditional one, the one that would be."""
    (policy,) = function["Properties"]["Policies"]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in policy["Statement"]]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(function: dict[str, Any], action: str) -> list[Any]:
    """The resources on which a function may do `action`."""
    granted = [each for each in statements(function) if action in as_list(each["Action"])]
    return [resource for each in granted for resource in as_list(each["Resource"])]


def timeout(name: str) -> int:
    globally: int = APPLICATION["Globals"]["Function"]["Timeout"]
    found: int = ALL[name]["Properties"].get("Timeout", globally)
    return found


def test_the_functions_are_those_of_the_folders() -> None:
    folders = {file.parent.name for file in (ROOT / "functions").glob("*/app.py")}
    assert set(ALL) == folders


@pytest.mark.parametrize("queue", QUEUES)
def test_a_message_that_fails_comes_back_late_enough_and_ends_as_a_dead_letter(queue: str) -> None:
    described = properties(f"{queue}Queue")
    redrive = described["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [f"{queue}DeadLetterQueue", "Arn"]}
    assert properties(f"{queue}DeadLetterQueue")["MessageRetentionPeriod"] == 14 * 86400
    (reader,) = [
        name
        for name in template.functions(APPLICATION)
        for source in template.sources(APPLICATION, name)
        if source["EventSourceArn"] == {"Fn::GetAtt": [f"{queue}Queue", "Arn"]}
    ]
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    assert described["VisibilityTimeout"] >= 6 * timeout(reader)


@pytest.mark.parametrize(
    "name", ["ingest", "drafts", "outbound", "attachments", "index", "crawl", "relay"]
)
def test_a_source_reports_single_failures_and_has_its_own_limit(name: str) -> None:
    (source,) = template.sources(APPLICATION, name)
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    limit = source["ScalingConfig"]["MaximumConcurrency"]["Ref"]
    assert APPLICATION["Parameters"][limit]["MinValue"] == 2
    queue, _ = source["EventSourceArn"]["Fn::GetAtt"]
    assert source["EventSourceArn"] in allowed(ALL[name], "sqs:ReceiveMessage")
    assert queue.removesuffix("Queue").lower() in ("inbound", name)


def test_what_calls_outside_takes_one_message_at_a_time() -> None:
    names = template.functions(APPLICATION)
    sizes = {n: each["BatchSize"] for n in names for each in template.sources(APPLICATION, n)}
    assert sizes == {
        "ingest": 10,
        "drafts": 1,
        "outbound": 1,
        "attachments": 1,
        "index": 1,
        "crawl": 1,
        "relay": 10,
    }


def test_webhooks_has_neither_database_nor_network_of_its_own() -> None:
    webhooks = ALL["webhooks"]
    assert "VpcConfig" not in webhooks["Properties"]
    assert not [name for name in variables(webhooks) if name.startswith("DATABASE")]
    assert variables(webhooks)["PUBLIC_URL"] == {"Ref": "PublicUrl"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_function_may_do_everything_or_to_everything(name: str) -> None:
    for statement in statements(ALL[name]):
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        for resource in as_list(statement["Resource"]):
            assert resource != "*"
            pattern = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
            assert re.fullmatch(
                r"|\$\{\w+Bucket\.Arn\}/(\w+/)?\*|arn:.*:countersign/\$\{Stage\}/channel(s/|-key-)\*"
                r"|arn:.*:ses:.*:(identity/\*|configuration-set/\$\{MailConfigurationSet\})",
                pattern,
            )


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_function_may_do_what_its_variables_name(name: str) -> None:
    function = ALL[name]
    for variable, value in variables(function).items():
        if variable.endswith("_QUEUE_URL"):
            assert {"Fn::GetAtt": [value["Ref"], "Arn"]} in allowed(function, "sqs:SendMessage")
        elif variable.endswith("_SECRET_ID"):
            secrets = allowed(function, "secretsmanager:GetSecretValue")
            assert value in secrets or any(value["Fn::Sub"] in str(each) for each in secrets)
        elif variable.endswith("_BUCKET"):
            objects = allowed(function, "s3:GetObject") + allowed(function, "s3:PutObject")
            inside = "${" + value["Ref"] + ".Arn}/"
            assert any(each["Fn::Sub"].startswith(inside) for each in objects)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_function_gets_the_variables_that_its_settings_ask_for_and_no_others(name: str) -> None:
    handler = importlib.import_module(f"functions.{name}.app")
    settings = {field.name.upper(): field for field in fields(handler.Settings)}
    required = {name for name, field in settings.items() if field.default is MISSING}
    given = set(variables(ALL[name]))
    assert required <= given
    assert given - COMMON - LIBPQ <= set(settings)


def test_every_queue_and_function_has_its_alarms() -> None:
    alarms = template.of_type(APPLICATION, "AWS::CloudWatch::Alarm")
    functions = [name.capitalize() for name in template.functions(APPLICATION)]
    wanted = {
        f"{queue}{what}Alarm" for queue in QUEUES for what in ("DeadLetters", "OldestMessage")
    }
    wanted |= {f"{function}ErrorsAlarm" for function in functions}
    assert set(alarms) == wanted | {
        "UnknownSendsAlarm",
        "TooLargeWebhooksAlarm",
        "ApiErrorsAlarm",
    }
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize(
    "bucket", ["RawBucket", "MessagesBucket", "DocumentsBucket", "AuditBucket"]
)
def test_a_bucket_is_private_encrypted_and_reached_over_tls_alone(bucket: str) -> None:
    described = properties(bucket)
    assert set(described["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in described
    denied, *allowed = properties(f"{bucket}Policy")["PolicyDocument"]["Statement"]
    assert [each["Principal"] for each in allowed] == (
        [{"Service": "ses.amazonaws.com"}] if bucket == "RawBucket" else []
    )
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_raw_requests_outlive_the_messages_that_point_to_them() -> None:
    (rule,) = properties("RawBucket")["LifecycleConfiguration"]["Rules"]
    waits = properties("InboundDeadLetterQueue")["MessageRetentionPeriod"]
    assert rule["ExpirationInDays"] * 86400 > 2 * waits


def test_the_record_outlives_its_stack() -> None:
    audit = APPLICATION["Resources"]["AuditBucket"]
    assert audit["DeletionPolicy"] == audit["UpdateReplacePolicy"] == "Retain"
    assert audit["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


def test_what_one_stack_outputs_is_a_parameter_of_the_next() -> None:
    database = template.load(ROOT / "infra" / "database.yaml")
    assert set(database["Outputs"]) <= set(MIGRATIONS["Parameters"])
    needed = {name for name, each in APPLICATION["Parameters"].items() if "Default" not in each}
    given = set(database["Outputs"]) | set(MIGRATIONS["Outputs"])
    assert needed - given == {"ChatModel", "EmbeddingModel", "EmbeddingDimensions"}


def test_nobody_but_our_own_topic_and_functions_fills_the_inbound_queue() -> None:
    """What comes by it is taken for true: an event of SES, or a request that was verified."""
    (allowed,) = properties("InboundQueuePolicy")["PolicyDocument"]["Statement"]
    assert allowed["Principal"] == {"Service": "sns.amazonaws.com"}
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "MailTopic"}}}
    (publishes,) = properties("MailTopicPolicy")["PolicyDocument"]["Statement"]
    assert publishes["Principal"] == {"Service": "ses.amazonaws.com"}
    assert publishes["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_ses_takes_in_no_mail_unless_it_is_told_whose() -> None:
    for name in ("MailRuleSet", "MailRule"):
        assert APPLICATION["Resources"][name]["Condition"] == "HasMailDomain"
    events = properties("MailEvents")["EventDestination"]
    assert {"send", "bounce", "complaint", "delivery"} <= set(events["MatchingEventTypes"])
