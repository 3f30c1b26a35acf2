"""Golden files: output that is reviewed as a file; `make golden` rewrites them."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def assert_golden(name: str, actual: str) -> None:
    """Assert that *actual* is what the golden file *name* holds."""
    path = GOLDEN / name
    if os.environ.get("CHITA_GOLDEN") == "rewrite":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    expected = path.read_text(encoding="utf-8")

    assert expected == actual
