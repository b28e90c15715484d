"""What is handed to `sam deploy`."""

import zipfile
from pathlib import Path

import pytest

from local.deploy import with_archive

TEMPLATE = """
  DependenciesLayer:
    Properties:
      ContentUri: DependenciesLayer
  SharedLayer:
    Properties:
      ContentUri: SharedLayer
"""


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built template with a third-party layer."""
    monkeypatch.setattr("tools.package.CACHE", tmp_path / "cache")
    template = tmp_path / "built" / "template.yaml"
    template.parent.mkdir()
    template.write_text(TEMPLATE)
    change(template, "first")
    return template


def change(template: Path, text: str) -> None:
    package = template.with_name("DependenciesLayer") / "python" / "package.py"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.write_text(text)


def archived(template: Path) -> tuple[Path, str]:
    """The archive that a deploy would upload, and the package in it."""
    lines = with_archive(template).read_text().splitlines()
    archive, shared = (line.split()[1] for line in lines if "ContentUri" in line)
    assert shared == "SharedLayer"
    with zipfile.ZipFile(archive) as file:
        return Path(archive), file.read("python/package.py").decode()


def test_the_third_party_layer_is_archived_once(template: Path) -> None:
    first = archived(template)
    assert first[1] == "first"
    written = first[0].stat().st_ino
    assert archived(template) == first
    assert first[0].stat().st_ino == written


def test_a_changed_layer_is_archived_anew(template: Path) -> None:
    first, _ = archived(template)
    change(template, "other")
    second, text = archived(template)
    assert (second != first, text) == (True, "other")


def test_a_template_without_that_layer_stays_as_it_was_built(tmp_path: Path) -> None:
    assert with_archive(tmp_path / "template.yaml") == tmp_path / "template.yaml"
