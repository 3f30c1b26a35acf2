"""docs/reference/calico-compatibility.md claims nothing without a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs/reference/calico-compatibility.md"
NAMED = re.compile(r"`((?:unit|kernel|contract|scenario)/[^`]+)`")
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ID", "| trap"))
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_row(row: list[str]) -> None:
    """A yes names tests; a part says what is missing."""
    state, shown = row[-2], row[-1]
    named = NAMED.findall(shown)
    rest = re.sub(r"`[^`]*`|[,.]", "", shown).strip()

    assert state in ("yes", "partly", "no")
    assert named or state != "yes"
    assert rest or state != "partly"


@pytest.mark.parametrize("name", sorted(set(NAMED.findall(PAGE.read_text(encoding="utf-8")))))
def test_what_is_named_is_there(name: str) -> None:
    """In rows and between them."""
    path, _, function = name.partition("::")
    text = (TESTS / path).read_text(encoding="utf-8")

    assert not function or re.search(rf"def {function}\(", text)


def test_every_row_of_policy_and_data_plane_is_there() -> None:
    expected = [f"P{n:02}" for n in range(1, 33)] + [f"D{n:02}" for n in range(1, 20)]

    assert expected == [row[0] for row in ROWS if re.fullmatch(r"[PD]\d\d", row[0])]
