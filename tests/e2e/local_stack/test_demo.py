"""`make demo`: its last line, and that it leaves nothing running."""

import json
import os
import subprocess
import sys

import psutil

from local.demo import STATE
from local.state import CHECKOUT

SECONDS = 600


def test_the_demo_shows_the_whole_path_and_stops() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "local", "demo"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": "layers/shared:."},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    assert said.returncode == 0, said.stdout
    result = json.loads(said.stdout.splitlines()[-1])
    assert list(result) == [
        "conversations",
        "drafts",
        "sent",
        "delivered",
        "audit_verified",
        "foreign_tenant_probes",
        "foreign_tenant_rows",
        "inbound_to_draft_p50_ms",
        "approve_to_sent_p50_ms",
        "seconds",
    ]
    counts = [result[name] for name in ("conversations", "drafts", "sent", "delivered")]
    assert counts == [5, 5, 5, 5]
    assert result["audit_verified"] is True
    assert result["foreign_tenant_probes"] > 100
    assert result["foreign_tenant_rows"] == 0
    assert 0 < result["inbound_to_draft_p50_ms"] < 60_000
    assert 0 < result["approve_to_sent_p50_ms"] < 60_000
    for event in ("message.received", "draft.created", "draft.edited", "delivery.delivered"):
        assert event in said.stdout
    for mail in (
        "“Re: Your order 20417” to support@hotrodan.example fitting.png",
        "“Re: Your order 20417” to lee@example.com",
        "“Before I order” to hello@northwind.example",
        "“Re: Before I order” to ola@example.com",
    ):
        assert mail in said.stdout
    assert [each for each in psutil.process_iter(["cmdline"]) if is_of_the_demo(each)] == []


def is_of_the_demo(process: psutil.Process) -> bool:
    """Whether it was told of the demo's files, or of its models' key."""
    said = " ".join(process.info["cmdline"] or ())
    return str(STATE.folder) in said or STATE.secret("models") in said
