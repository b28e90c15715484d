"""Changed code in running functions, with a checkout and a stack of two functions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import reload
from local.aws import Aws, running
from local.deploy import Stack, deploy, invoke, physical_ids
from local.stack import APPLICATION
from local.state import State

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.13, Handler: app.lambda_handler, Layers: [!Ref SharedLayer]}
Resources:
  SharedLayer: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layer}}
  OneFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/one}}
  TwoFunction: {Type: AWS::Serverless::Function, Properties: {CodeUri: functions/two}}
"""
HANDLER = "from countersign import WORD\ndef lambda_handler(event, context): return 'old ' + WORD\n"


class Checkout:
    """Sources, what they are deployed as, and a developer's view of the reloading."""

    def __init__(self, folder: Path, aws: Aws) -> None:
        self.folder, self.aws = folder, aws
        self.said: list[str] = []
        self.watching = reload.watch(aws, self.said.append)
        next(self.watching)

    def change(self, name: str, text: str) -> str:
        """Write a file; returns what the developer is told."""
        (self.folder / name).write_text(text)
        self.said.clear()
        next(self.watching)
        return "\n".join(self.said)

    def answers(self) -> list[str]:
        names = physical_ids(self.aws, APPLICATION)
        return [invoke(self.aws, names[f"{each}Function"], {}) for each in ("One", "Two")]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Aws]]:
    folder = tmp_path_factory.mktemp("checkout")
    files = {
        "template.yaml": TEMPLATE,
        "functions/one/app.py": HANDLER,
        "functions/two/app.py": HANDLER,
        "layers/shared/countersign/__init__.py": "WORD = 'layer'\n",
        "layer/python/countersign/__init__.py": "WORD = 'layer'\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    state = State(folder / "state")
    with running(state) as aws:
        deploy(state, aws, Stack(APPLICATION, folder / "template.yaml", [], {}))
        yield folder, aws


@pytest.fixture
def checkout(deployed: tuple[Path, Aws], monkeypatch: pytest.MonkeyPatch) -> Checkout:
    folder, aws = deployed
    monkeypatch.setattr(reload, "FUNCTIONS", folder / "functions")
    monkeypatch.setattr(reload, "SHARED", folder / "layers" / "shared")
    return Checkout(folder, aws)


def test_a_function_is_reloaded_alone(checkout: Checkout) -> None:
    said = checkout.change("functions/one/app.py", HANDLER.replace("old", "new"))
    assert said.startswith("Reloaded one in ")
    assert checkout.answers() == ["new layer", "old layer"]


def test_the_shared_layer_is_reloaded_for_every_function(checkout: Checkout) -> None:
    said = checkout.change("layers/shared/countersign/__init__.py", "WORD = 'changed'\n")
    assert said.startswith("Reloaded shared in ")
    assert [each.split()[1] for each in checkout.answers()] == ["changed", "changed"]


def test_what_is_added_and_removed_later_is_reloaded_too(checkout: Checkout) -> None:
    package = "layers/shared/countersign"
    checkout.change(f"{package}/words.py", "WORD = 'added'\n")
    checkout.change(f"{package}/__init__.py", "from countersign.words import WORD\n")
    assert [each.split()[1] for each in checkout.answers()] == ["added", "added"]
    (checkout.folder / package / "words.py").unlink()
    said = checkout.change(f"{package}/__init__.py", "from countersign.words import WORD \n")
    assert "No module named 'countersign.words'" in said
    checkout.change(f"{package}/__init__.py", "WORD = 'last'\n")
    assert [each.split()[1] for each in checkout.answers()] == ["last", "last"]


def test_code_that_does_not_compile_changes_nothing(checkout: Checkout) -> None:
    before = checkout.answers()
    said = checkout.change("functions/two/app.py", "def lambda_handler(:\n")
    assert said.startswith("The change does not work: ")
    assert "functions/two/app.py" in said
    assert checkout.answers() == before


def test_code_that_does_not_start_says_why(checkout: Checkout) -> None:
    said = checkout.change("functions/two/app.py", "import no_such_module\n")
    assert "No module named 'no_such_module'" in said
    checkout.change("functions/two/app.py", HANDLER.replace("old", "mended"))
    assert checkout.answers()[1].startswith("mended")


def test_what_python_writes_beside_the_sources_is_no_change(checkout: Checkout) -> None:
    (checkout.folder / "functions/one/__pycache__").mkdir()
    assert checkout.change("functions/one/__pycache__/app.cpython-311.pyc.140", "x") == ""
