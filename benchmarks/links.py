"""Pod interfaces, routes and WireGuard peers: what a node's links cost, beside ip(8).

    sudo .venv/bin/python benchmarks/links.py [--rounds 40] [--out results.json]

Everything happens in network namespaces made for it. Figures are milliseconds of wall time; the
peer for routes is ``ip -batch`` with the same routes, which has no diff to make.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chita.dataplane.netlink.links import Links, VethEnd
from chita.dataplane.netlink.nexthops import NexthopTable
from chita.dataplane.netlink.routes import RouteTable, sync_routes
from chita.dataplane.netlink.rules import OURS
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan
from chita.dataplane.pod_interface import PodInterface, PodInterfaces
from chita.dataplane.tunnels.transit import sync_transit
from chita.dataplane.tunnels.wireguard import WireguardTunnel
from chita.dataplane.tunnels.wireguard_go import WireguardGo
from chita.desired.nexthops import FIRST_NEXTHOP, HopGroup, TransitHop
from chita.desired.routes import ByNexthop, NextHop, Route, Via
from chita.desired.tunnels import Endpoint, Transit, Wireguard, WireguardPeer
from chita.model.net import Address, Cidr

ATTACH_BUDGET_MS = 10.0
ROUTES = 5000
PEERS = 1000
HOPS = 2000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with namespaces(2) as (node, pod), NetlinkSocket(namespace=node) as socket:
        result = pods(socket, pod, options.rounds) | routes(socket, node) | relays(socket)
        result |= peers(socket)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    return 0 if result["attach_ms"] <= ATTACH_BUDGET_MS else 1


def pods(socket: NetlinkSocket, namespace: Path, rounds: int) -> dict[str, float]:
    """Attach, check, withdraw and detach a pod with both families; medians."""
    interfaces = PodInterfaces(socket)
    pod = PodInterface(
        host_interface="cali00000000001",
        namespace=namespace,
        addresses=(Address.parse("10.244.0.5"), Address.parse("fd00:10:244::5")),
        mtu_bytes=1400,
    )
    steps: dict[str, Callable[[], object]] = {
        "attach_ms": lambda: interfaces.attach(pod),
        "check_ms": lambda: interfaces.check(pod),
        "withdraw_ms": lambda: interfaces.withdraw(pod.host_interface),
        "detach_ms": lambda: interfaces.detach(pod.host_interface),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(timed(step))
    return {name: round(statistics.median(found), 3) for name, found in times.items()}


def routes(socket: NetlinkSocket, node: Path) -> dict[str, float]:
    """Put many routes, read them, sync without a change; and ``ip -batch`` with the same."""
    links = Links(socket)
    links.add_veth(
        VethEnd(name="near", mac="02:00:00:00:00:01"),
        VethEnd(name="far", mac="02:00:00:00:00:02"),
        mtu_bytes=1500,
    )
    for name in ("lo", "near", "far"):
        links.set_up(links.index(name))
    table = RouteTable(socket, links)
    gateway = Address.parse("192.0.2.1")
    desired: dict[Cidr, Route] = {}
    for number in range(ROUTES):
        dst = Cidr(4, (10 << 24) + number * 64, 26)
        desired[dst] = Via(dst=dst, gateway=gateway, device="near", next_hop=NextHop.ON_LINK)

    def synced(wanted: dict[Cidr, Route]) -> float:
        return timed(lambda: none(sync_routes(wanted, table)))

    result = {
        "routes": ROUTES,
        "routes_put_ms": synced(desired),
        "routes_read_ms": timed(table.read),
        "routes_unchanged_ms": synced(desired),
        "routes_removed_ms": synced({}),
    }
    with tempfile.NamedTemporaryFile("w", prefix="chita-bench") as script:
        where = f"via {gateway} dev near onlink table {OURS.table}"
        script.writelines(f"route add {dst} {where}\n" for dst in desired)
        script.flush()
        command = ["ip", "-n", node.name, "-batch", script.name]
        result["routes_put_by_ip_ms"] = timed(lambda: subprocess.run(command, check=True))
    return {name: round(value, 3) for name, value in result.items()}


def relays(socket: NetlinkSocket) -> dict[str, float]:
    """Move many routes from one relay to another: by their nexthop group, and one by one."""
    links = Links(socket)
    sync_transit(Transit(device="chita-transit", port=4790, vni=4097), socket)
    nexthops, table = NexthopTable(socket, links, vni=4097), RouteTable(socket, links)
    source = Address.parse("100.64.0.1")
    hops = {
        FIRST_NEXTHOP + number: TransitHop(
            family=4,
            device="chita-transit",
            source=source,
            relay=Address(4, source.value + 1 + number),
        )
        for number in range(HOPS)
    }
    first, second, group = FIRST_NEXTHOP, FIRST_NEXTHOP + 1, FIRST_NEXTHOP + HOPS

    def routes_by(nexthop: int) -> dict[Cidr, Route]:
        return {
            dst: ByNexthop(dst=dst, nexthop=nexthop)
            for number in range(ROUTES)
            for dst in [Cidr(4, (10 << 24) + number * 64, 26)]
        }

    def replaced() -> float:
        return statistics.median(
            timed(lambda member=member: nexthops.put(group, HopGroup((member,))))  # type: ignore[misc]
            for member in [second, first] * 50
        )

    result = {
        "nexthops": HOPS,
        "nexthops_put_ms": timed(
            lambda: none(apply(plan(hops, {}), nexthops.put, nexthops.remove))
        ),
        "nexthops_read_ms": timed(nexthops.read),
    }
    nexthops.put(group, HopGroup((first, second)))
    none(sync_routes(routes_by(group), table))
    result["relay_left_by_group_ms"] = replaced()
    one_by_one = routes_by(second)
    result["relay_left_route_by_route_ms"] = timed(lambda: none(sync_routes(one_by_one, table)))
    return {name: round(value, 3) for name, value in result.items()}


def peers(socket: NetlinkSocket) -> dict[str, float]:
    """Give wireguard-go many peers, then none new, then one change."""
    keys = [b64encode(os.urandom(31) + b"\x40").decode() for _ in range(PEERS + 1)]
    known = {
        key: WireguardPeer(
            node=key,
            public_key=key,
            endpoint=Endpoint(Address(4, (198 << 24) + number), 51820),
            allowed=frozenset({Cidr(4, (10 << 24) + number * 256, 24)}),
            keepalive_s=25,
        )
        for number, key in enumerate(keys[1:])
    }
    address = (Address.parse("100.64.0.1"),)

    def device(peers: dict[str, WireguardPeer]) -> Wireguard:
        return Wireguard(
            device="chita-wg", port=51820, mtu_bytes=1400, addresses=address, peers=peers
        )

    with tempfile.TemporaryDirectory(prefix="chita-bench") as directory:
        backend = WireguardGo("chita-wg", directory=Path(directory), namespace=socket.namespace)
        tunnel = WireguardTunnel(backend, socket)

        def synced(peers: dict[str, WireguardPeer]) -> float:
            now_s = time.time()
            return round(timed(lambda: none(tunnel.sync(device(peers), keys[0], now_s=now_s))), 3)

        try:
            fewer = dict(list(known.items())[1:])
            return {
                "wireguard_start_ms": synced({}),
                "peers": PEERS,
                "peers_put_ms": synced(known),
                "peers_unchanged_ms": synced(known),
                "peers_one_less_ms": synced(fewer),
            }
        finally:
            backend.remove()


def timed(step: Callable[[], object]) -> float:
    """Return how long *step* takes, in milliseconds."""
    began = time.perf_counter()
    step()
    return (time.perf_counter() - began) * 1e3


def none(refused: Mapping[Any, Exception]) -> None:
    """Stop when something was refused: a figure of refusals is none."""
    for error in refused.values():
        raise error


@contextmanager
def namespaces(count: int) -> Iterator[list[Path]]:
    """Yield new network namespaces; remove them whatever happens."""
    names = [f"chita-tbench{os.getpid()}-{index}" for index in range(count)]
    made: list[str] = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            made.append(name)
        yield [Path("/run/netns") / name for name in names]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


if __name__ == "__main__":
    sys.exit(main())
