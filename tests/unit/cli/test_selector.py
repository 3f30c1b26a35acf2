"""``chita selector``: the answer, its form and the exit status."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from chita.cli.main import root
from goldens import assert_golden


def run(*arguments: str) -> Result:
    return CliRunner().invoke(root, ["selector", *arguments])


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        pytest.param(["a=='b'"], 0, {"valid": True, "matches": None}, id="no-labels"),
        pytest.param(["a=='b'", "--labels", "a=b,c=d"], 0, {"matches": True}, id="matches"),
        pytest.param(["a=='b'", "--labels", "a=c"], 0, {"matches": False}, id="differs"),
        pytest.param(["!has(a)", "--labels", ""], 0, {"matches": True}, id="no-label-at-all"),
        pytest.param(["a==''", "--labels", "a="], 0, {"matches": True}, id="empty-value"),
        pytest.param(["a=='=' ", "--labels", "a=="], 0, {"matches": True}, id="value-with-equals"),
        pytest.param(["", "--labels", "a=b"], 0, {"canonical": "all()", "matches": True}, id="all"),
        pytest.param(
            ["a = 'b'", "--labels", "a=b"],
            1,
            {"valid": False, "canonical": None, "uid": None, "matches": None, "position": 2},
            id="invalid",
        ),
    ],
)
def test_json(arguments: list[str], status: int, expected: dict[str, object]) -> None:
    result = run(*arguments, "-o", "json")
    answer = json.loads(result.stdout)

    assert status == result.exit_code
    assert {"valid", "canonical", "uid", "problem", "matches"} <= answer.keys()
    assert expected.items() <= answer.items()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(
            "valid",
            ["app in {'web', 'api'}&&!has(canary)", "--labels", "app=web"],
            id="valid",
        ),
        pytest.param("invalid", ["app == 'web' && (has(canary) || tier"], id="invalid"),
    ],
)
def test_golden(name: str, arguments: list[str]) -> None:
    """For eyes: the canonical form, or what is wrong and where."""
    assert_golden(f"cli/selector-{name}.txt", run(*arguments).stdout)


def test_labels_that_are_none_are_bad_usage() -> None:
    result = run("all()", "--labels", "a")

    assert 2 == result.exit_code
    assert "KEY=VALUE" in result.stderr
