"""Our table is ours alone: what others put there goes, and what they put elsewhere stays."""

from __future__ import annotations

import pytest

from chita.dataplane.netlink.links import InterfaceAddress, Links, VethEnd
from chita.dataplane.netlink.routes import Foreign, RouteTable, sync_routes
from chita.dataplane.netlink.rules import OURS, Rule, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.desired.routes import Blackhole, OnDevice, Route
from chita.model.net import Address, Cidr
from network_namespace import fresh_namespaces, needs_root, run_inside

pytestmark = [pytest.mark.kernel, needs_root]

TABLE = ["table", str(OURS.table)]
PROTOCOL = ["proto", str(OURS.protocol)]
TWO_HOPS = {
    4: ["nexthop", "dev", "near", "nexthop", "dev", "far"],
    6: ["nexthop", "via", "fe80::1", "dev", "near", "nexthop", "via", "fe80::2", "dev", "far"],
}


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(["unicast", "dev", "near"], id="other-protocol"),
        pytest.param(["prohibit", *PROTOCOL], id="other-kind"),
        pytest.param(["unicast", *PROTOCOL, "hops"], id="multipath"),
    ],
)
@pytest.mark.parametrize("text", ["10.244.1.0/26", "fd00:10:244:1::/122"])
def test_foreign_routes_are_replaced_and_removed(text: str, foreign: list[str]) -> None:
    """Whether we have a route there too or not; then there is nothing left to do."""
    dst = Cidr.parse(text)
    ours: dict[Cidr, Route] = {dst: OnDevice(dst=dst, device="near")}
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        links = Links(socket)
        links.add_veth(
            VethEnd(name="near", mac="02:00:00:00:00:01"),
            VethEnd(name="far", mac="02:00:00:00:00:02"),
            mtu_bytes=1500,
        )
        for name in ("near", "far"):
            links.set_up(links.index(name))
        links.put_address(links.index("near"), InterfaceAddress(Address.parse("192.0.2.1"), 24))
        table = RouteTable(socket, links)
        kind, *rest = foreign
        if rest[-1] == "hops":
            rest[-1:] = TWO_HOPS[dst.family]
        command = ["ip", "route", "replace", kind, text, *TABLE, *rest]
        for desired in (ours, {}):
            run_inside(space, *command)
            assert table.read() == {dst: Foreign(dst)}
            assert sync_routes(desired, table) == {}
            assert table.read() == desired
            before = socket.writes
            assert sync_routes(desired, table) == {}
            assert socket.writes == before


def test_a_second_route_of_another_metric_goes() -> None:
    """Two routes to one destination are never what we put, even if one of them is."""
    dst = Cidr.parse("10.244.1.0/26")
    desired: dict[Cidr, Route] = {dst: Blackhole(dst)}
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        table = RouteTable(socket, Links(socket))
        assert sync_routes(desired, table) == {}
        second = ["blackhole", str(dst), *TABLE, *PROTOCOL, "metric", "7"]
        run_inside(space, "ip", "route", "add", *second)

        assert table.read() == {dst: Foreign(dst)}
        assert sync_routes(desired, table) == {}
        assert table.read() == desired


def test_other_tables_and_rules_stay() -> None:
    """A route to the same network elsewhere, and a rule that is not ours, are not touched."""
    dst = Cidr.parse("10.244.1.0/26")
    with fresh_namespaces(1) as (space,), NetlinkSocket(namespace=space) as socket:
        run_inside(space, "ip", "route", "add", "blackhole", str(dst))
        run_inside(space, "ip", "rule", "add", "pref", "7", *TABLE)
        table, rules = RouteTable(socket, Links(socket)), Rules(socket)
        assert table.read() == {}
        assert rules.read() == set()

        assert sync_routes({dst: Blackhole(dst)}, table) == {}
        assert sync_rules(our_rules(OURS), rules) == {}
        assert sync_rules(our_rules(OURS), rules) == {}
        assert rules.read() == our_rules(OURS)
        moved = {Rule(4, 100), Rule(6, 100)}
        assert sync_rules(moved, rules) == {}
        assert rules.read() == moved
        assert sync_routes({}, table) == {}
        assert sync_rules(set(), rules) == {}

        assert str(dst) in run_inside(space, "ip", "route")
        assert run_inside(space, "ip", "rule").count("lookup 24482") == 1
        assert table.read() == {}
