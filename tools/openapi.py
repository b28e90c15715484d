"""Write docs/openapi.json from the declared operations, or with --check compare it with them."""

from __future__ import annotations

import json
import sys

from countersign.drafting import api
from tools.environment import ROOT

FILE = ROOT / "docs" / "openapi.json"


def main(arguments: list[str]) -> None:
    """Exit with what to do if --check finds another document than the operations give."""
    document = text()
    if arguments == ["--check"]:
        if not FILE.exists() or FILE.read_text() != document:
            sys.exit("docs/openapi.json is not what the operations say: run `make openapi`.")
        print("docs/openapi.json holds.")
        return
    FILE.write_text(document)


def text() -> str:
    """The document as it is checked in."""
    return json.dumps(api.read_openapi().root, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
