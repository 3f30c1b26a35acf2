"""Objects that an installation asked for are made once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chita.controller import initial
from chita.controller.initial import create_missing, read_objects
from chita.errors import ConflictError, InputError, NotFoundError

POOL = {"apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": "p"}}
OTHER = {**POOL, "metadata": {"name": "q"}}


class Api:
    """Refuses as told, one answer a call, then creates."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.created: list[str] = []

    async def create(self, obj: Mapping[str, Any]) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        self.created.append(obj["metadata"]["name"])


@pytest.mark.parametrize(
    ("refusals", "created"),
    [
        pytest.param([], ["p", "q"], id="both-missing"),
        pytest.param([ConflictError("there")], ["q"], id="one-is-there"),
        pytest.param([NotFoundError("not served yet")] * 2, ["p", "q"], id="not-served-at-first"),
    ],
)
def test_missing_objects_are_created(
    refusals: list[Exception], created: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial, "RETRY_S", 0.001)
    api = Api(*refusals)

    asyncio.run(create_missing(api, [POOL, OTHER]))

    assert created == api.created


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("a: [", "is no YAML", id="yaml"),
        pytest.param("- a\n", "not an object", id="list"),
    ],
)
def test_a_bad_file_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "initial.yaml").write_text(text)

    with pytest.raises(InputError, match=told):
        read_objects(tmp_path / "initial.yaml")
    with pytest.raises(InputError, match="read"):
        read_objects(tmp_path / "missing.yaml")
