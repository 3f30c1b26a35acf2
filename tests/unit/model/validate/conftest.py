"""Every object that a test of validation checks is held against its CustomResourceDefinition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from chita.model.problem import Problem
from chita.model.validate.objects import validate
from crd_agreement import disagreement


@pytest.fixture(autouse=True)
def _agreement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module's ``validate`` also ask what kube-apiserver would say."""
    if getattr(request.module, "validate", None) is validate:
        monkeypatch.setattr(request.module, "validate", _held(validate))


def _held(
    check: Callable[[Mapping[str, Any]], list[Problem]],
) -> Callable[[Mapping[str, Any]], list[Problem]]:
    def checked(obj: Mapping[str, Any]) -> list[Problem]:
        problems = check(obj)
        told = disagreement(obj, problems)
        assert not told, told
        return problems

    return checked
