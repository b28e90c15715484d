"""Starts stay small: a handler's module imports the libraries that it may, and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from countersign.channels.providers import MODULES
from tests.handlers import libraries
from tools import built
from tools.environment import ROOT

COLLECTOR = "import gc; print(json.dumps([gc.isenabled(), gc.get_freeze_count()]))"
LIST = "print(json.dumps([getattr(m, '__file__', None) or '' for m in [*sys.modules.values()]]))"


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    assert built.faults() == []


def loaded(code: built.Code, statement: str) -> set[str]:
    """The third-party packages that are loaded after a statement, in a fresh interpreter."""
    return libraries.packages(code, printed(code, f"{statement}; {LIST}"))


def printed(code: built.Code, statements: str) -> Any:
    """The JSON that statements print where a function runs."""
    program = f"import json, sys; sys.path[:0] = sys.argv[1:]; {statements}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program, *map(str, code.folders)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath},
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(built.functions()))
def test_a_start_loads_just_what_it_may(name: str) -> None:
    assert loaded(built.functions()[name], "import app") == libraries.AT_START[name]


@pytest.mark.parametrize("name", sorted(built.functions()))
def test_the_collector_rests_during_a_start_and_works_after_it(name: str) -> None:
    code = built.functions()[name]
    watch = "import gc; runs = []; gc.callbacks.append(lambda *run: runs.append(run))"
    late = "import countersign.start; del runs[:]; import app; runs = len(runs)"
    assert printed(code, f"{watch}; {late}; print(json.dumps(runs))") == 0
    works, set_aside = printed(code, f"import app; {COLLECTOR}")
    assert works
    assert set_aside > 10_000


def test_a_provider_costs_nothing_before_its_first_webhook() -> None:
    webhooks = built.functions()["webhooks"]
    more = {
        name: loaded(webhooks, f"import app; import {module}") - libraries.AT_START["webhooks"]
        for name, module in MODULES.items()
    }
    assert more == {
        "api": libraries.SHAPES - libraries.LOGGER | {"urllib3"},
        "sendgrid": {"urllib3"},
        "ses": {"urllib3"},
        "smtp": set(),
        "twilio": {"urllib3"},
    }


def test_tables_do_not_postpone_annotations() -> None:
    """An eighth of the time that mapping takes: SQLAlchemy parses the text of each annotation."""
    tables = sorted((ROOT / "layers/shared/countersign").glob("*/tables.py"))
    assert [file for file in tables if "import annotations" in file.read_text()] == []
    assert len(tables) > 5


@pytest.mark.parametrize("name", sorted(built.functions()))
def test_a_library_that_is_allowed_is_in_the_layers(name: str) -> None:
    allowed = libraries.AT_START[name] | libraries.WITH_EVENTS[name]
    there = {
        path.name.split(".")[0]
        for folder in built.functions()[name].folders
        for path in Path(folder).iterdir()
    }
    assert allowed <= there
