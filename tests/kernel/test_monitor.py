"""The monitor tells what others do to our links and routes, and is silent about our own work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chita.dataplane.netlink.links import Links, VethEnd
from chita.dataplane.netlink.monitor import Change, Monitor, Subject
from chita.dataplane.netlink.nexthops import NexthopTable
from chita.dataplane.netlink.routes import RouteTable
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.desired.nexthops import FIRST_NEXTHOP, DeviceHop
from chita.desired.routes import Blackhole
from chita.model.net import Cidr
from network_namespace import fresh_namespaces, needs_root, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

DST = Cidr.parse("198.51.100.0/24")
TABLE = str(OURS.table)


async def first(monitor: Monitor) -> set[Change]:
    async with asyncio.timeout(5):
        return await anext(monitor.changes())


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(
            ["ip", "route", "del", "blackhole", str(DST), "table", TABLE],
            Change(Subject.ROUTE),
            id="our-route-removed",
        ),
        pytest.param(
            ["ip", "nexthop", "del", "id", str(FIRST_NEXTHOP)],
            Change(Subject.ROUTE),
            id="our-nexthop-removed",
        ),
        pytest.param(
            ["ip", "-6", "rule", "del", "pref", str(OURS.rule_priority)],
            Change(Subject.RULE),
            id="our-rule-removed",
        ),
        pytest.param(
            ["ip", "link", "set", "near", "up"], Change(Subject.LINK, "near", 3), id="link"
        ),
        pytest.param(
            ["ip", "neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "near"],
            Change(Subject.NEIGHBOUR, index=3),
            id="permanent-neighbour",
        ),
        pytest.param(
            ["ip", "address", "add", "192.0.2.1/24", "dev", "near"],
            Change(Subject.ADDRESS, index=3),
            id="address",
        ),
    ],
)
def test_foreign_changes_are_told(command: list[str], expected: Change) -> None:
    """Somebody else's change arrives; ours before it, and routes of other tables, do not."""
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        links = Links(socket)
        links.add_veth(
            VethEnd(name="near", mac="02:00:00:00:00:01"),
            VethEnd(name="far", mac="02:00:00:00:00:02"),
            mtu_bytes=1500,
        )
        index = links.index("near")
        monitor = Monitor(namespace=space, own_ports=lambda: [socket.port])
        RouteTable(socket, links).put(Blackhole(DST))
        sync_rules(our_rules(OURS), Rules(socket))
        links.set_up(links.index("lo"))
        NexthopTable(socket, links, vni=4097).put(FIRST_NEXTHOP, DeviceHop(4, "lo"))
        try:
            run_inside(space, "ip", "nexthop", "add", "id", "7", "blackhole")
            run_inside(space, "ip", "route", "add", "blackhole", str(DST), "table", "7")
            run_inside(space, *command)
            changes = asyncio.run(first(monitor))
        finally:
            monitor.close()

        assert {expected} == changes
        assert expected.index in (0, index)


@pytest.mark.slow
def test_lost_events_are_told(tmp_path: Path) -> None:
    """More events than the buffer holds: anything may have changed, and the monitor goes on."""
    routes = [f"blackhole 10.{high}.{low}.0/24" for high in range(64) for low in range(256)]
    with fresh_namespaces(1) as (space,):
        monitor = Monitor(namespace=space)
        try:
            script = tmp_path / "routes"
            script.write_text("".join(f"route add {it} table {TABLE}\n" for it in routes))
            run_inside(space, "ip", "-batch", str(script))

            async def drain() -> list[set[Change]]:
                found = []
                async with asyncio.timeout(10):
                    async for changes in monitor.changes():
                        found.append(changes)
                        if len(found) == 1:
                            run_inside(space, "ip", "link", "set", "lo", "down")
                        if Change(Subject.LINK, "lo", 1) in changes:
                            break
                return found

            found = set().union(*asyncio.run(drain()))
        finally:
            monitor.close()

        assert {Change(Subject.OVERRUN), Change(Subject.LINK, "lo", 1)} <= found
