"""What we use of the emulated AWS, and what our wrapper adds, shown with a small stack."""

import base64
import io
import json
import os
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from local import aws_server, gateway
from local.aws import Aws, running
from local.deploy import DeployFailed, Stack, deploy, invoke, is_deployed, outputs
from local.http_server import Response, serving
from local.providers.ses import Topic
from local.redrive import redrive
from local.routes import create_routes
from local.state import State
from tests.contract.small_stack import ECHO, TEMPLATE, WORK


class Deployed:
    """The emulator with the small stack in it."""

    def __init__(self, state: State, folder: Path, aws: Aws) -> None:
        self.state, self.folder, self.aws = state, folder, aws
        self.journal = folder / "journal"
        self.deploy()

    def stack(self) -> Stack:
        template = self.folder / "template.yaml"
        sources = [
            template,
            *(self.folder / name for name in ("DependenciesLayer", "echo", "work")),
        ]
        return Stack("small", template, sources, {"Journal": str(self.journal)})

    def deploy(self) -> None:
        deploy(self.state, self.aws, self.stack())
        self.api_id = create_routes(self.aws, "small")
        self.outputs = outputs(self.aws, "small")

    def send(self, body: str, delay: int = 0) -> None:
        client = self.aws.client("sqs")
        url = self.outputs["InboundQueueUrl"]
        client.send_message(QueueUrl=url, MessageBody=body, DelaySeconds=delay)

    def lines(self, body: str) -> list[tuple[float, int]]:
        """When and by which process a message of this body was handled."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        fields = [line.split(" ", 2) for line in lines]
        return [(float(at), int(pid)) for at, pid, text in fields if text == body]

    def workers(self, function: str) -> list[psutil.Process]:
        """The processes that run a function, or start to."""
        found = []
        for child in psutil.Process(self.state.read("processes")["aws"]["pid"]).children():
            with suppress(psutil.NoSuchProcess):
                found += [child] if function in " ".join(child.cmdline()) else []
        return found


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("small")
    files = {
        "template.yaml": TEMPLATE,
        "DependenciesLayer/python/shared_words.py": "WORD = 'first'",
        "echo/app.py": ECHO,
        "work/app.py": WORK,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    state = State(folder / "state")
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(lambda request: Response(200, b'{"MessageId": "m1"}')) as ses,
        running(state, AWS_ENDPOINT_URL_SESV2=ses) as aws,
    ):
        patch.setattr("tools.package.CACHE", folder / "cache")
        yield Deployed(state, folder, aws)


def eventually(holds: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.05)


def call(deployed: Deployed, method: str, target: str, **request: Any) -> Any:
    with gateway.running(deployed.aws.endpoint, 0) as front:
        front.open(deployed.api_id)
        return urllib3.request(method, front.url + target, **request)


def test_a_request_reaches_its_function_as_it_was_sent(deployed: Deployed) -> None:
    body = b"Body=caf\xc3\xa9+%2B&x=\xff"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Custom": "a b"}
    answer = call(deployed, "POST", "/v1/a/b?x=%2B1&y=a%20b", body=body, headers=headers)
    assert (answer.status, answer.headers["X-Own"]) == (207, "1")
    event = answer.json()["event"]
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body
    assert event["rawQueryString"] == "x=%2B1&y=a%20b"
    assert event["pathParameters"] == {"proxy": "a/b"}
    assert event["headers"]["x-custom"] == "a b"
    assert event["requestContext"]["http"]["method"] == "POST"


def test_a_json_body_is_text_and_a_missing_route_is_a_404(deployed: Deployed) -> None:
    headers = {"Content-Type": "application/json"}
    event = call(deployed, "PUT", "/v1/a", body=b'{"a":1}', headers=headers).json()["event"]
    assert (event["isBase64Encoded"], event["body"]) == (False, '{"a":1}')
    assert call(deployed, "GET", "/first").status == 404


def test_a_redeploy_keeps_the_api_and_exchanges_its_routes(deployed: Deployed) -> None:
    template = deployed.folder / "template.yaml"
    before = deployed.api_id
    assert is_deployed(deployed.state, deployed.aws, deployed.stack())
    template.write_text(TEMPLATE.replace("/first", "/second"))
    assert not is_deployed(deployed.state, deployed.aws, deployed.stack())
    deployed.deploy()
    assert deployed.api_id == before
    assert call(deployed, "POST", "/second").status == 207
    assert call(deployed, "POST", "/first").status == 404
    template.write_text(TEMPLATE)
    deployed.deploy()
    assert call(deployed, "POST", "/first").status == 207


def test_functions_see_their_own_environment_and_layers_alone(deployed: Deployed) -> None:
    found = json.loads(invoke(deployed.aws, deployed.outputs["Echo"], {"a": 1})["body"])
    assert found["word"] == "first"
    assert found["environment"]["AWS_ENDPOINT_URL"] == deployed.aws.endpoint
    assert found["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == deployed.outputs["Echo"]
    assert not {"VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "USER"} & set(found["environment"])
    assert not [entry for entry in found["path"] if entry.startswith(str(Path.cwd() / "layers"))]


def test_an_error_of_a_function_is_told(deployed: Deployed) -> None:
    with pytest.raises(DeployFailed, match="told to"):
        invoke(deployed.aws, deployed.outputs["Echo"], "raise")  # type: ignore[arg-type]


def test_a_function_may_do_what_its_policies_allow_and_no_more(deployed: Deployed) -> None:
    echo, queue = deployed.outputs["Echo"], {"QueueUrl": deployed.outputs["InboundQueueUrl"]}
    batch = queue | {"Entries": [{"Id": "1", "MessageBody": "allowed"}]}
    secret = {"SecretId": deployed.outputs["Secret"]}
    dead = deployed.outputs["InboundDeadLetterQueueUrl"]
    for call in (
        ("sqs", "send_message_batch", batch),
        ("secretsmanager", "get_secret_value", secret),
    ):
        assert invoke(deployed.aws, echo, {"call": call}) == 200
    for call in (
        ("sqs", "purge_queue", queue),
        ("secretsmanager", "put_secret_value", secret | {"SecretString": "x"}),
        ("sqs", "send_message", {"QueueUrl": dead, "MessageBody": "x"}),
    ):
        with pytest.raises(DeployFailed, match="AccessDenied"):
            invoke(deployed.aws, echo, {"call": call})


def test_a_bucket_that_demands_tls_takes_what_a_function_may_put(deployed: Deployed) -> None:
    stored = {"Bucket": deployed.outputs["Bucket"], "Key": "a", "Body": "kept"}
    invoke(deployed.aws, deployed.outputs["Echo"], {"call": ("s3", "put_object", stored)})
    found = deployed.aws.client("s3").get_object(Bucket=deployed.outputs["Bucket"], Key="a")
    assert found["Body"].read() == b"kept"


def test_a_queue_gets_what_its_own_topic_is_told(deployed: Deployed) -> None:
    told = {"eventType": "Send", "mail": {"subject": "é & +"}}
    for name in ("OtherTopic", "MailTopic"):
        sns = partial(deployed.aws.signed_headers, "sns")
        event = Topic(deployed.outputs[name], deployed.aws.endpoint, sns).publication(told)
        headers = dict(event.headers())
        assert urllib3.request("POST", event.url, body=event.body, headers=headers).status == 200
    received = deployed.aws.client("sqs").receive_message(
        QueueUrl=deployed.outputs["MailQueueUrl"], MaxNumberOfMessages=10, WaitTimeSeconds=20
    )
    (message,) = received["Messages"]
    envelope = json.loads(message["Body"])
    assert (envelope["Type"], envelope["TopicArn"]) == (
        "Notification",
        deployed.outputs["MailTopic"],
    )
    assert json.loads(envelope["Message"]) == told
    assert envelope["MessageId"]
    assert datetime.fromisoformat(envelope["Timestamp"]).tzinfo


def test_a_configuration_set_says_where_its_events_go(deployed: Deployed) -> None:
    found = deployed.aws.client("sesv2").get_configuration_set_event_destinations(
        ConfigurationSetName="small"
    )
    (destination,) = found["EventDestinations"]
    assert set(destination["MatchingEventTypes"]) == {"SEND", "DELIVERY"}
    assert destination["SnsDestination"] == {"TopicArn": deployed.outputs["MailTopic"]}


def test_a_function_calls_ses_where_the_emulator_was_told(deployed: Deployed) -> None:
    mail = {"Content": {"Raw": {"Data": "From: a@b.example"}}}
    call = ("sesv2", "send_email", mail)
    assert invoke(deployed.aws, deployed.outputs["Echo"], {"call": call}) == 200


def test_a_reference_to_a_secret_is_its_arn(deployed: Deployed) -> None:
    arn = deployed.outputs["Secret"]
    assert arn.startswith("arn:aws:secretsmanager:")
    client = deployed.aws.client("secretsmanager")
    assert client.describe_secret(SecretId=arn)["ARN"] == arn


def test_a_layer_is_unpacked_once_with_its_bytecode(deployed: Deployed) -> None:
    deployed.aws.warm(3)
    names = list((deployed.state.folder / "aws" / "layers").rglob("shared_words*"))
    assert sorted(name.suffix for name in names) == [".py", ".pyc"]


def test_new_code_needs_no_deploy(deployed: Deployed) -> None:
    name = deployed.outputs["Echo"]
    with exchanged(deployed, name, "def lambda_handler(event, context): return 'new'"):
        assert invoke(deployed.aws, name, {}) == "new"


@contextmanager
def exchanged(deployed: Deployed, function: str, code: str) -> Iterator[None]:
    """Other code in a function, for the length of the block."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", code)
    client = deployed.aws.client("lambda")
    known = client.get_function(FunctionName=function)["Code"]["Location"]
    old = urllib3.request("GET", known).data
    client.update_function_code(FunctionName=function, ZipFile=archive.getvalue())
    yield
    client.update_function_code(FunctionName=function, ZipFile=old)


def test_a_call_waits_for_the_worker_that_is_starting(deployed: Deployed) -> None:
    name = deployed.outputs["Echo"]
    slow = "import time; time.sleep(1)\ndef lambda_handler(event, context): return 'slow'"
    with exchanged(deployed, name, slow), ThreadPoolExecutor(1) as starter:
        starting = starter.submit(deployed.aws.warm)
        eventually(lambda: len(deployed.workers(name)) == 1)
        assert invoke(deployed.aws, name, {}) == "slow"
        starting.result()
        assert len(deployed.workers(name)) == 1


def test_a_new_layer_version_needs_no_deploy(deployed: Deployed) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("python/shared_words.py", "WORD = 'second'")
    client = deployed.aws.client("lambda")
    name = deployed.outputs["Echo"]
    (old,) = client.get_function_configuration(FunctionName=name)["Layers"]
    new = client.publish_layer_version(LayerName="words", Content={"ZipFile": archive.getvalue()})
    for layer, word in ((new["LayerVersionArn"], "second"), (old["Arn"], "first")):
        client.update_function_configuration(FunctionName=name, Layers=[layer])
        assert json.loads(invoke(deployed.aws, name, {})["body"])["word"] == word


def test_a_poisoned_message_ends_among_the_dead_letters_and_comes_back(deployed: Deployed) -> None:
    # Else both could be visible again before a worker has started.
    deployed.aws.warm()
    deployed.send("poison")
    deployed.send("healthy")
    dead = deployed.outputs["InboundDeadLetterQueueUrl"]
    client = deployed.aws.client("sqs")

    def depth() -> int:
        name = "ApproximateNumberOfMessages"
        answer = client.get_queue_attributes(QueueUrl=dead, AttributeNames=[name])
        return int(answer["Attributes"][name])

    eventually(lambda: depth() == 1)
    assert len(deployed.lines("poison")) == 2
    assert len(deployed.lines("healthy")) == 1
    deployed.journal.with_name("journal.healed").touch()
    assert redrive(deployed.aws, "small", "inbound") == 1
    eventually(lambda: len(deployed.lines("poison")) == 3)
    assert depth() == 0


def test_a_message_whose_worker_is_killed_returns(deployed: Deployed) -> None:
    deployed.send("slow")
    eventually(lambda: bool(deployed.lines("slow")))
    first = deployed.lines("slow")[0]
    worker = psutil.Process(first[1])
    assert deployed.outputs["Work"] in " ".join(worker.cmdline())
    worker.kill()
    eventually(lambda: len(deployed.lines("slow")) > 1)
    second = deployed.lines("slow")[1]
    assert second[1] != first[1]
    assert second[0] - first[0] > 2.5


def test_a_delayed_message_comes_later(deployed: Deployed) -> None:
    sent = time.time()
    deployed.send("later", delay=2)
    eventually(lambda: len(deployed.lines("later")) == 1)
    assert deployed.lines("later")[0][0] - sent > 1.9


def test_a_rotated_secret_keeps_its_previous_value(deployed: Deployed) -> None:
    client = deployed.aws.client("secretsmanager")
    name = deployed.outputs["Secret"]
    first = client.get_secret_value(SecretId=name)["SecretString"]
    assert set(json.loads(first)) == {"username", "password"}
    client.put_secret_value(SecretId=name, SecretString="second")
    stages = ("AWSCURRENT", "AWSPREVIOUS")
    values = [client.get_secret_value(SecretId=name, VersionStage=stage) for stage in stages]
    assert [value["SecretString"] for value in values] == ["second", first]


def test_the_state_survives_a_stop_even_where_its_port_is_taken(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    with running(state) as aws:
        client = aws.client("sqs")
        url = client.create_queue(QueueName="kept")["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody="still here")
        aws.client("s3").create_bucket(Bucket="kept")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(aws.endpoint.rpartition(":")[2])))
        other.listen()
        with running(state) as moved:
            assert moved.endpoint != aws.endpoint
            client = moved.client("sqs")
            assert client.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "still here"
            buckets = moved.client("s3")
            assert [each["Name"] for each in buckets.list_buckets()["Buckets"]] == ["kept"]
    assert not (state.folder / "aws" / "tmp").exists()


def test_what_was_saved_survives_a_kill(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    with running(state) as aws:
        aws.client("sqs").create_queue(QueueName="saved")
        aws.save()
        aws.client("sqs").create_queue(QueueName="lost")
        os.kill(state.read("processes")["aws"]["pid"], signal.SIGKILL)
    with running(state) as aws:
        urls = aws.client("sqs").list_queues()["QueueUrls"]
        assert [url.rpartition("/")[2] for url in urls] == ["saved"]


def test_another_version_of_ministack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_server, "PRIVATE_NAMES", {"json": ("loads", "decoder.no_such.name")})
    with pytest.raises(SystemExit, match=r"lacks json\.decoder\.no_such\.name"):
        aws_server.require_private_names()


def test_two_that_start_at_once_do_not_meet(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=300)

    def queues(name: str) -> list[str]:
        together.wait()
        with running(State(tmp_path / name)) as aws:
            aws.client("sqs").create_queue(QueueName=name)
            together.wait()
            urls: list[str] = aws.client("sqs").list_queues()["QueueUrls"]
            together.wait()
        return [url.rpartition("/")[2] for url in urls]

    with ThreadPoolExecutor(2) as starters:
        assert list(starters.map(queues, ("one", "other"))) == [["one"], ["other"]]
