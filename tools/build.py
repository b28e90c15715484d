"""Build every function and layer, for the machine that PLATFORM names (see tools/package.py)."""

from __future__ import annotations

from tools import sam

if __name__ == "__main__":
    for template in sam.BUILT:
        sam.build(template)
