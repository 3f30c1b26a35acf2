"""``chita validate``: one answer per document, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chita.cli.main import root
from goldens import GOLDEN, assert_golden

GOOD = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: a}\n"
BAD = GOOD.replace("name: a", "name: A")


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(root, ["validate", *arguments], input=stdin)


def names(result: Result) -> list[tuple[str, bool]]:
    return [(verdict["name"], verdict["valid"]) for verdict in json.loads(result.stdout)]


@pytest.mark.parametrize("output", ["json", "text"])
def test_golden(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right, wrong, foreign, repeated, unreadable and listed documents, in the file's order."""
    monkeypatch.chdir(GOLDEN / "cli")

    result = run("-f", "mixed.yaml", "-o", output)

    assert 2 == result.exit_code
    assert_golden(f"cli/validate.{output}", result.stdout)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(GOOD, 0, id="valid"),
        pytest.param(GOOD + "---\n" + BAD, 1, id="one-invalid"),
        pytest.param("kind: Tier\n", 1, id="object-without-version"),
        pytest.param(GOOD + "kind: Tier\n", 1, id="field-twice"),
        pytest.param("a: [", 2, id="no-yaml"),
        pytest.param("just text", 2, id="no-object"),
        pytest.param(
            '{"apiVersion": "v1",\n\t"kind": "Pod", "metadata": {"name": "a"}}', 0, id="json"
        ),
        pytest.param("\ufeff" + GOOD, 0, id="byte-order-mark"),
        pytest.param("", 0, id="nothing"),
    ],
)
def test_status(text: str, status: int) -> None:
    assert status == run("-f", "-", stdin=text.encode()).exit_code


def test_files_and_directories_in_order(tmp_path: Path) -> None:
    """A directory stands for its manifests by name; what is no manifest is left alone."""
    (tmp_path / "d").mkdir()
    for name, text in {
        "d/2.yml": BAD,
        "d/1.yaml": GOOD,
        "d/notes.txt": "x",
        "a.json": "{}",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    result = run("-f", str(tmp_path / "d"), str(tmp_path / "a.json"), "-f", "-", "-o", "json")

    assert [("a", True), ("A", False), (None, False)] == sorted(
        names(result), key=lambda pair: (pair[0] is None, not pair[1])
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "part"),
    [
        pytest.param([], None, "-f FILE", id="no-file"),
        pytest.param(["-f", "missing.yaml"], None, "No such file", id="missing"),
        pytest.param(["-f", "-"], b"a: \xff", "byte 4 is not UTF-8", id="not-utf-8"),
        pytest.param(["-f", "-", "-o", "xml"], None, "'xml'", id="output"),
    ],
)
def test_unusable_input(arguments: list[str], stdin: bytes | None, part: str) -> None:
    result = run(*arguments, stdin=stdin)

    assert 2 == result.exit_code
    assert part in result.stderr


def test_a_directory_without_manifests_is_refused(tmp_path: Path) -> None:
    result = run("-f", str(tmp_path))

    assert 2 == result.exit_code
    assert ".yaml" in result.stderr


def test_json_has_the_promised_fields() -> None:
    verdict: dict[str, Any] = json.loads(run("-f", "-", "-o", "json", stdin=BAD).stdout)[0]

    assert {"kind": "Tier", "namespace": None, "name": "A", "valid": False}.items() <= (
        verdict.items()
    )
    assert [{"field", "message"}] == [set(problem) for problem in verdict["problems"]]
