"""CustomResourceDefinitions are of every kind of ours, and say what the validator says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chita.crd.definition import GROUPS, definitions
from chita.model.kinds import KINDS, StatusPart
from chita.model.validate.objects import validate
from crd_agreement import disagreement

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").rglob("*.yaml"))
LARGEST = 262_144
"""Bytes of all annotations (ObjectMeta): `kubectl apply` keeps the whole object in one."""


def nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for part in schema.get("properties", {}).values():
        yield from nodes(part)
    for field in ("items", "additionalProperties"):
        if field in schema:
            yield from nodes(schema[field])


def test_each_kind_of_ours_has_one() -> None:
    ours = {kind.resource: kind for kind in KINDS if kind.group in GROUPS}
    found = {each["metadata"]["name"]: each for each in definitions()}

    assert ours.keys() == found.keys()
    for name, kind in ours.items():
        version = found[name]["spec"]["versions"][0]
        assert ("status" in version.get("subresources", {})) == (
            kind.status is not StatusPart.NONE
        ), name


def test_schemas_are_structural() -> None:
    """Of the rules of structural schemas: each node has a type, or says that it has none."""
    for definition in definitions():
        for node in nodes(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            said = node.keys() & {
                "type", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"
            }  # fmt: skip
            assert said, node


def test_patterns_are_of_go() -> None:
    """RE2 has no look-around and no back references."""
    for definition in definitions():
        for node in nodes(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
            pattern = node.get("pattern", "")
            assert not re.search(r"\(\?[=!<P]|\\[1-9]", pattern), pattern


def test_definitions_can_be_applied() -> None:
    """`kubectl apply` without ``--server-side`` keeps the object in an annotation."""
    for definition in definitions():
        assert len(str(definition)) < LARGEST / 2, definition["metadata"]["name"]


@pytest.mark.slow
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in EXAMPLES])
def test_examples_agree(path: Path) -> None:
    for obj in yaml.safe_load_all(path.read_text()):
        if isinstance(obj, dict):
            assert disagreement(obj, validate(obj)) == ""
