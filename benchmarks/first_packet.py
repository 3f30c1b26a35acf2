"""What ten policies of five rules cost the first packet of a flow, in the kernel alone.

    sudo .venv/bin/python benchmarks/first_packet.py [--rounds 60] > result.json

Nodes stand side by side, each with what `policy_node` makes of it; a client on each sends TCP SYNs
that its egress policies do not allow, so that each of them is the first packet of a flow, meets all
rules and is dropped. Sending, forwarding and dropping are done by the sending thread, whose
processor time is told: it hardly depends on what else runs, other than that of whole connections.

    no_rules        the ten policies have no egress rules: the end of the tier drops
    policies        forty rules on ports and sets of 20, nine on a set of 20,000 addresses and
                    20,000 networks of one length
    seven_lengths   the same, the 20,000 networks being of seven lengths
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec
from policy_node import (
    BIG,
    CLIENT,
    LARGE,
    PORTS,
    SERVER,
    Case,
    connect_pods,
    interface,
    load,
    namespace,
    pod_address,
    policies_state,
)

from chita.dataplane.netlink.namespace import inside
from chita.desired.policy import AddressSet, PolicyRules, PolicyState
from chita.model.net import TCP, Cidr

PACKETS = 3_000
"""Of a turn: some 15 ms."""
SPORT, DPORT = 40_000, PORTS[0] - 1
"""No rule allows the destination."""
SYN = 0x02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(client_of_node(name, state))
            for name, state in states().items()
        }
        samples: dict[str, list[float]] = {name: [] for name in clients}
        for number in range(rounds + 1):
            for name in sorted(clients, reverse=bool(number % 2)):
                taken = packet_us(clients[name])
                if number:
                    samples[name].append(taken)
    print(json.dumps(report(samples), indent=2))


def states() -> dict[str, PolicyState]:
    """Return what each node enforces."""
    policies = policies_state()
    mine = policies.endpoints[interface(CLIENT)].egress[0].policies
    none = {key: PolicyRules(ingress=policies.policies[key].ingress) for key in mine}
    lengths = AddressSet(
        addresses=policies.address_sets[BIG].addresses,
        networks=frozenset(Cidr(4, 0x0C000000 + i * 1024, 22 + i % 7) for i in range(LARGE)),
    )
    return {
        "no_rules": msgspec.structs.replace(policies, policies=policies.policies | none),
        "policies": policies,
        "seven_lengths": msgspec.structs.replace(
            policies, address_sets=policies.address_sets | {BIG: lengths}
        ),
    }


class Client(msgspec.Struct, frozen=True):
    """A raw socket in the client's namespace, and the packet to send by it."""

    socket: socket.socket
    segment: bytes


@contextmanager
def client_of_node(name: str, state: PolicyState) -> Iterator[Client]:
    """Yield the client of a new node that enforces *state*; remove the node whatever happens."""
    with ExitStack() as stack:
        node, client, server = (
            stack.enter_context(namespace(f"{name}-{role}"))
            for role in ("node", "client", "server")
        )

        def set_up() -> None:
            connect_pods(node, state, {CLIENT: client, SERVER: server})
            load(Case.POLICIES, state)

        inside(node, set_up)
        opened = inside(
            client, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        )
        with opened:
            source, destination = pod_address(state, CLIENT), pod_address(state, SERVER)
            opened.connect((str(destination), 0))
            yield Client(opened, syn(source.packed, destination.packed))


def packet_us(client: Client) -> float:
    """Return the processor time of one packet, over PACKETS of them."""
    send, segment = client.socket.send, client.segment
    start = time.thread_time_ns()
    for _ in range(PACKETS):
        send(segment)
    return (time.thread_time_ns() - start) / PACKETS / 1e3


def syn(source: bytes, destination: bytes) -> bytes:
    """Return a TCP header that opens a connection (RFC 9293 section 3.1).

    Its checksum must be right, or connection tracking calls the packet invalid.
    """
    head = struct.pack("!HHIIBB", SPORT, DPORT, 1, 0, 5 << 4, SYN)
    tail = struct.pack("!HHH", 64_240, 0, 0)
    pseudo = source + destination + struct.pack("!BBH", 0, TCP, len(head + tail))
    words = struct.unpack(f"!{len(pseudo + head + tail) // 2}H", pseudo + head + tail)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head + struct.pack("!HHH", 64_240, ~total & 0xFFFF, 0)


def report(samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return medians, and what the rules add to a packet: the median over pairs of turns."""
    figures: dict[str, Any] = {
        name: {"median_us": round(statistics.median(values), 2), "min_us": round(min(values), 2)}
        for name, values in samples.items()
    }
    for name in ("policies", "seven_lengths"):
        added = [ours - base for ours, base in zip(samples[name], samples["no_rules"], strict=True)]
        figures[name]["rules_us"] = round(statistics.median(added), 2)
    return {"benchmark": "first_packet", "packets": PACKETS} | figures


if __name__ == "__main__":
    main()
