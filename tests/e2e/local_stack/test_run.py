"""`make run` as a developer meets it, and what a kill -9 does to it. One test builds on another."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import urllib3

from local.api import Api
from local.aws import Aws
from local.client import Channel, send
from local.deploy import outputs, physical_ids
from local.stack import APPLICATION
from local.state import CHECKOUT, State

READY = "Ctrl-C stops all"
START_SECONDS = 400


class Running:
    """`python -m local run` in a process of its own, with its state in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.state = State(folder)
        self.output = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = self.command("run")
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        self.output = ""
        while READY not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            assert time.monotonic() < deadline, self.output
            self.output += line

    def command(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "local", "--state", str(self.state.folder), *arguments],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": "layers/shared:."},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said_by(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of another command."""
        process = self.command(*arguments)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def end(self, number: int) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        ended_before = self.process.poll() is not None
        self.process.send_signal(number)
        code = self.process.wait(300)
        self.output += self.process.stdout.read()
        self.process.stdout.close()
        assert not ended_before, self.output
        return code

    @property
    def api(self) -> Api:
        found = re.search(r"export API=(\S+) KEY=(\S+)", self.output)
        assert found
        return Api(found[1], found[2])

    @property
    def aws(self) -> Aws:
        return Aws(f"http://127.0.0.1:{self.state.read('ports')['aws']}")

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        postgres = self.state.folder / "postgres"
        with psycopg.connect(
            host="127.0.0.1",
            port=self.state.read("ports")["postgres"],
            user="postgres",
            password=(postgres / "password").read_text(),
            dbname="countersign",
        ) as connection:
            return connection.execute(statement.encode()).fetchall()

    def channel(self, kind: str) -> Channel:
        """A channel of the first tenant, with the credentials of its secret."""
        described = self.state.read("sample")["tenants"][0]["channels"]
        (found,) = (each for each in described if each["type"] == kind)
        secret = self.aws.client("secretsmanager").get_secret_value(SecretId=found["secret_name"])
        return Channel(
            id=found["channel_id"],
            type=kind,
            provider=found["provider"],
            url=self.api.url + found["webhook_path"],
            address=found["external_id"],
            credentials=json.loads(secret["SecretString"]),
        )

    def see_again_after(self, queue: str, seconds: int) -> None:
        """Shorten a queue's visibility timeout: minutes are too long for a test."""
        self.aws.client("sqs").set_queue_attributes(
            QueueUrl=outputs(self.aws, APPLICATION)[f"{queue}QueueUrl"],
            Attributes={"VisibilityTimeout": str(seconds)},
        )

    def workers(self, function: str) -> list[psutil.Process]:
        name = physical_ids(self.aws, APPLICATION)[f"{function}Function"]
        return [each for each in self.children() if name in " ".join(_command_line(each))]


def _command_line(process: psutil.Process) -> Sequence[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("run") / "state")
    running.start()
    yield running
    if running.process is not None and running.process.returncode is None:
        running.end(signal.SIGINT)


def eventually(holds: Callable[[], bool], seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.2)


def test_what_it_prints_can_be_pasted(running: Running) -> None:
    commands = re.findall(r"^  (curl .*?(?:\\\n.*)?)$", running.output, re.MULTILINE)
    feed, search, draft, approval = (curl(running.api, command) for command in commands)
    assert len(feed["items"]) == 6
    assert "AN-6" in search["items"][0]["text"]
    assert draft["status"] == "pending"
    assert draft["sources"]
    assert approval["type"] == "approve"


def curl(api: Api, command: str) -> Any:
    """What curl, which not every machine has, would answer to a printed line."""
    options = shlex.split(command.replace("\\\n", "").replace("$API", api.url))
    assert f"Authorization: Bearer {api.key}" in [each.replace("$KEY", api.key) for each in options]
    (url,) = (each for each in options if each.startswith("http"))
    path = url.removeprefix(api.url)
    if "-d" not in options:
        return api.get(path)
    assert "Content-Type: application/json" in options
    return api.post(path, json.loads(options[options.index("-d") + 1]))


def test_a_second_run_says_that_there_is_one(running: Running) -> None:
    code, said = running.said_by("run")
    assert code == 1
    assert running.process is not None
    assert f"as process {running.process.pid}" in said
    assert "Traceback" not in said


def test_a_kill_of_any_worker_loses_and_doubles_nothing(running: Running) -> None:
    running.see_again_after("Inbound", 5)
    channel = running.channel("sms")
    texts = [f"Message {number}: what does overnight shipping cost?" for number in range(30)]

    def write(number: int) -> None:
        send(channel, f"+1415555{1000 + number}", texts[number])

    def stored() -> list[str]:
        found = running.rows("SELECT body_text FROM messages WHERE body_text LIKE 'Message %'")
        return sorted(text for (text,) in found)

    killed = {"Webhooks": 0, "Ingest": 0}

    def kill(function: str) -> bool:
        workers = running.workers(function)
        for worker in workers:
            worker.kill()
        killed[function] += len(workers)
        return bool(workers)

    def has_come_on(stored_before: int) -> bool:
        return len(stored()) > stored_before

    with ThreadPoolExecutor(6) as customers:
        kills = ("Ingest", "Webhooks", "Ingest", "Webhooks", "Ingest")
        for number, function in enumerate(kills):
            before = len(stored())
            written = customers.map(write, range(6 * number, 6 * number + 6))
            eventually(partial(kill, function))
            # Without any worker for long, nothing would ever get through.
            eventually(partial(has_come_on, before))
            list(written)
    eventually(lambda: len(stored()) >= len(texts))
    running.see_again_after("Inbound", 360)
    assert stored() == sorted(texts)
    assert min(killed.values()) >= 2


def test_a_send_whose_answer_is_lost_is_delivered_once(running: Running) -> None:
    customer = "+14155559999"
    send(running.channel("sms"), customer, "What does overnight shipping cost?")
    api = running.api

    def draft() -> list[str]:
        items = [each for each in api.feed() if each["draft"]]
        return [e["draft"]["id"] for e in items if _address(e) == customer]

    eventually(lambda: len(draft()) == 1)
    (draft_id,) = draft()
    providers = f"http://127.0.0.1:{running.state.read('ports')['providers']}"
    fault = {"path": "/Messages.json", "contains": customer[1:], "answered": False}
    urllib3.request("POST", f"{providers}/_faults", json=fault)
    token = api.get(f"/v1/drafts/{draft_id}")["revision_token"]
    api.post(f"/v1/drafts/{draft_id}/approval", {"revision_token": token})

    def status() -> str:
        query = f"SELECT status FROM deliveries WHERE recipient = '{customer}'"
        return str(running.rows(query)[0][0])

    eventually(lambda: status() == "delivered")
    requests = urllib3.request("GET", f"{providers}/_requests").json()["requests"]
    sent = [each for each in requests if each["method"] == "POST" and customer[1:] in each["body"]]
    assert [each["status"] for each in sent] == [0]


def _address(item: dict[str, Any]) -> str:
    return str(item["conversation"]["customer"]["address"])


def test_a_poisoned_message_is_put_back_with_redrive(running: Running) -> None:
    urls = outputs(running.aws, APPLICATION)
    client = running.aws.client("sqs")

    def in_the_queue() -> int:
        waiting = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = client.get_queue_attributes(QueueUrl=urls["DraftsQueueUrl"], AttributeNames=waiting)
        return sum(int(count) for count in found["Attributes"].values())

    # What the tests before have led to may still be worked on.
    eventually(lambda: in_the_queue() == 0)
    client.send_message(QueueUrl=urls["DraftsDeadLetterQueueUrl"], MessageBody="{}")
    first, second = running.said_by("redrive", "drafts"), running.said_by("redrive", "drafts")
    assert first == (0, "1 dead letters of the drafts queue are back in it.\n")
    assert second == (0, "0 dead letters of the drafts queue are back in it.\n")
    # Poisoned as it is, it is tried again, and stays.
    assert in_the_queue() == 1


def test_after_a_kill_the_next_run_has_the_same_data_and_nothing_else_runs(
    running: Running,
) -> None:
    key, processes = running.api.key, running.children()
    before = running.rows("SELECT count(*) FROM messages")
    running.end(signal.SIGKILL)
    running.start()
    assert running.api.key == key
    assert running.rows("SELECT count(*) FROM messages")[0] >= before[0]
    assert "Building" not in running.output
    gone, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert gone


def test_ctrl_c_stops_all_and_nothing_else(running: Running) -> None:
    processes, ports = running.children(), running.state.read("ports")
    assert running.end(signal.SIGINT) == 0
    assert "Stopping" in running.output
    assert "Traceback" not in running.output
    assert not psutil.wait_procs(processes, timeout=30)[1]
    for port in ports.values():
        with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
            probe.connect(("127.0.0.1", port))
    assert running.said_by("down") == (0, "Nothing runs.\n")
    assert "start it with `make run`" in running.said_by("redrive", "inbound")[1]
