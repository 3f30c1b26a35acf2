"""Fixtures of scenarios."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from chita.errors import UnsupportedError
from chita.lab.cluster import Lab
from chita.lab.machine import check_machine
from scenario_lab import make_lab


@pytest.fixture(scope="session", autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    try:
        check_machine()
    except UnsupportedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def shop(_needs_root: None) -> Iterator[Lab]:
    """The default world, up."""
    lab = make_lab()
    lab.up([])
    yield lab
    lab.down()
