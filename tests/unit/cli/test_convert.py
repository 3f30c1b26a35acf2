"""``chita convert``: what Kubernetes policies become, in the order of the documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from chita.cli.main import root
from goldens import GOLDEN, assert_golden


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(root, ["convert", *arguments], input=stdin)


@pytest.mark.parametrize("output", ["json", "text"])
def test_golden(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, in part, not at all; other kinds are passed over."""
    monkeypatch.chdir(GOLDEN / "cli")
    result = run("-f", "policies.yaml", "-o", output)

    assert 1 == result.exit_code
    assert_golden(f"cli/convert.{output}", result.stdout)


def test_text_is_yaml_of_the_policies() -> None:
    """What text prints is what json has under ``policy``."""
    path = str(GOLDEN / "cli/policies.yaml")
    answers = json.loads(run("-f", path, "-o", "json").stdout)
    printed = list(yaml.safe_load_all(run("-f", path).stdout))

    assert [answer["policy"] for answer in answers if answer["policy"]] == printed


@pytest.mark.parametrize(
    ("text", "status", "count"),
    [
        pytest.param(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
            "spec: {podSelector: {}}\n",
            0,
            1,
            id="whole",
        ),
        pytest.param(
            "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n",
            1,
            1,
            id="old-version",
        ),
        pytest.param("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", 0, 0, id="no-policy"),
        pytest.param("a: [\n", 2, 0, id="no-yaml"),
    ],
)
def test_status(text: str, status: int, count: int) -> None:
    result = run("-f", "-", "-o", "json", stdin=text)

    assert status == result.exit_code
    assert count == len(json.loads(result.stdout))


def test_no_file(tmp_path: Path) -> None:
    result = run("-f", str(tmp_path / "nosuch.yaml"))

    assert 2 == result.exit_code
    assert "nosuch.yaml" in result.stderr
    assert "[input-not-usable]" in result.stderr
