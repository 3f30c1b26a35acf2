"""What we write by netlink is what nft makes of our text, and comes back as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from chita.dataplane.nftables.diff import create
from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.outline import outline
from chita.dataplane.nftables.render import render
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.transaction import (
    AddTable,
    DeleteTable,
    render_transaction,
)
from network_namespace import fresh_namespaces
from nftables_states import STATES
from nftables_world import inside

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
]


class Doors:
    """Both ways into one namespace."""

    def __init__(self) -> None:
        self.nft = Libnft()
        self.table = KernelTable()

    def listing(self) -> list[str]:
        """Return what nft lists, without handles and in a fixed order; then remove the table."""
        objects = self.nft.query("list table inet chita")
        self.table.commit((AddTable(), DeleteTable()))
        return sorted(json.dumps(_without_handles(item), sort_keys=True) for item in objects)


def _without_handles(item: Any) -> Any:
    match item:
        case dict():
            return {key: _without_handles(value) for key, value in item.items() if key != "handle"}
        case list():
            return [_without_handles(part) for part in item]
        case _:
            return item


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with fresh_namespaces(1) as (namespace,), inside(namespace):
        both = Doors()
        yield both
        both.table.close()
        both.nft.close()


@pytest.mark.parametrize("name", STATES)
def test_netlink_and_text_make_the_same_table(doors: Doors, name: str) -> None:
    ruleset = policy_ruleset(STATES[name])
    doors.nft.run(render(ruleset))
    by_text = doors.listing()
    doors.nft.run(render_transaction(create(ruleset)))
    by_commands = doors.listing()
    doors.table.commit(create(ruleset))
    by_netlink = doors.listing()

    assert by_text == by_netlink
    assert by_commands == by_netlink


@pytest.mark.parametrize("name", STATES)
def test_a_table_is_read_back_as_it_was_written(doors: Doors, name: str) -> None:
    ruleset = policy_ruleset(STATES[name])
    doors.table.commit(create(ruleset))
    found = doors.table.read()
    doors.listing()

    assert outline(ruleset) == found
