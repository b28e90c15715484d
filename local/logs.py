"""What the functions log, out of the emulated CloudWatch."""

import json
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws import Aws
from local.state import State

WORTH_TELLING = ("WARNING", "ERROR", "CRITICAL")
# A call's lines arrive together when it ends, with the times of their writing.
LATE_MILLISECONDS = 130_000


class FunctionLogs:
    """Appends new log lines to `logs/functions.log`; `.path` is that file."""

    def __init__(self, state: State, aws: Aws) -> None:
        self.path = state.logs / "functions.log"
        self._client = aws.client("logs")
        self._since = int(time.time() * 1000)
        self._known: dict[tuple[str, int, str], int] = {}

    def follow(self) -> list[str]:
        """Write what is new; returns a line for each warning and error.

        Where the emulator is too busy to say, what is new is found the next time.
        """
        told = []
        with self.path.open("a") as file:
            try:
                new = self._new()
            except (BotoCoreError, ClientError):
                return []
            for message in new:
                file.write(message.rstrip() + "\n")
                told += _told(message)
        return told

    def _new(self) -> list[str]:
        pages = self._client.get_paginator("filter_log_events")
        found = []
        for group in self._client.describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            for page in pages.paginate(logGroupName=name, startTime=self._since):
                for event in page["events"]:
                    key = (event["logStreamName"], event["timestamp"], event["message"])
                    if key not in self._known and event["message"].startswith("{"):
                        found.append(event["message"])
                    self._known[key] = event["timestamp"]
        self._since = max(self._since, int(time.time() * 1000) - LATE_MILLISECONDS)
        self._known = {key: at for key, at in self._known.items() if at >= self._since}
        return found


def _told(message: str) -> list[str]:
    try:
        line: dict[str, Any] = json.loads(message)
    except ValueError:
        return []
    if line.get("level") not in WORTH_TELLING:
        return []
    return [f"{line['level'].lower()} in {line.get('service')}: {line.get('message')}"]
