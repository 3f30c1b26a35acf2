"""A node with 1,000 policies of which ten select each of its pods, and its peers without them.

What `traffic` and `first_packet` measure: under ``policies`` a first packet walks all rules of the
client's ten policies (egress), then of the server's ten (ingress); the last rule of the last one
allows it. Nine policies of each ten have a rule on a set of 20,000 addresses and 20,000 networks.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from chita.agent.ways import NODE_SYSCTLS
from chita.dataplane.netlink.rules import OURS, Rules, our_rules, sync_rules
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.nftables.applier import NftApplier
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.pod_interface import PodInterface, PodInterfaces
from chita.dataplane.sysctl import sync_sysctls
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
    TierPolicies,
)
from chita.model.net import TCP, Address, Cidr, PortRange
from chita.model.policy import Action

POLICIES, PODS, SELECTORS, LARGE = 1_000, 110, 500, 20_000
BIG = "s:big"
"""20,000 addresses and 20,000 networks; other selectors are 20 addresses each."""
CLIENT, SERVER = 1, 2
"""Which pods of the state are measured."""
IPERF_PORT = 5201
PORTS = range(5001, 5009)
"""Of connections: eight, so that a pair of ports hardly comes twice while it is remembered."""
MTU_BYTES = 1500
STATEFUL = """table inet stateful {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
    }
}
"""


class Case(StrEnum):
    """What a node's kernel holds."""

    NONE = "none"
    CONNTRACK = "conntrack"
    EMPTY = "empty"
    POLICIES = "policies"


def policy(number: int) -> PolicyRules:
    """Return a policy of five ingress rules, none of which allows what is measured."""
    rules = [
        Rule(
            action=Action.ALLOW,
            protocol=TCP,
            source=Match(sets=(f"s:{(number + i) % SELECTORS}",)),
            destination=Match(ports=(PortRange(80 + i, 80 + i), PortRange(443, 443))),
        )
        for i in range(4)
    ]
    return PolicyRules(ingress=(*rules, Rule(action=Action.ALLOW, source=Match(sets=(BIG,)))))


def node_state() -> PolicyState:
    """Return a node of 110 pods, a hundred of which have ten policies each."""
    keys = [f"NetworkPolicy/shop/p{number}" for number in range(POLICIES)]
    each = POLICIES // PODS + 1
    endpoints = {}
    for pod in range(PODS):
        mine = tuple(keys[pod * each : (pod + 1) * each])
        tier = TierPolicies(tier="default", policies=mine, end=Action.DENY)
        endpoints[interface(pod)] = EndpointPolicy(
            interface=interface(pod),
            endpoint=f"shop/pod-{pod}",
            addresses=(Address(4, 0x0AF40000 + pod),),
            ingress=(tier,) if mine else (),
            profiles=("kns.shop",),
        )
    sets = {
        f"s:{n}": AddressSet(
            addresses=frozenset(Address(4, 0x0A000000 + n * 64 + i) for i in range(20))
        )
        for n in range(SELECTORS)
    }
    sets[BIG] = AddressSet(
        addresses=frozenset(Address(4, 0x0B000000 + i) for i in range(LARGE)),
        networks=frozenset(Cidr(4, 0x0C000000 + i * 512, 24) for i in range(LARGE)),
    )
    return PolicyState(
        endpoints=endpoints,
        policies={key: policy(number) for number, key in enumerate(keys)},
        profiles={
            "kns.shop": PolicyRules(
                ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),)
            )
        },
        address_sets=sets,
    )


def policies_state() -> PolicyState:
    """Return the node's state; its two measured pods may talk by their last rules."""

    base = node_state()
    client, server = (base.endpoints[interface(pod)] for pod in (CLIENT, SERVER))
    ports = (PortRange(PORTS[0], PORTS[-1]), PortRange(IPERF_PORT, IPERF_PORT))
    policies = dict(base.policies)
    for key in client.ingress[0].policies:
        rules = policies[key].ingress
        outward = tuple(
            msgspec.structs.replace(
                rule,
                source=Match(),
                destination=Match(sets=rule.source.sets, ports=rule.destination.ports),
            )
            for rule in rules
        )
        policies[key] = PolicyRules(ingress=rules, egress=outward)
    last = client.ingress[0].policies[-1]
    allow_out = Rule(
        action=Action.ALLOW, protocol=TCP, destination=Match(sets=("s:server",), ports=ports)
    )
    policies[last] = msgspec.structs.replace(
        policies[last], egress=(*policies[last].egress[:-1], allow_out)
    )
    last = server.ingress[0].policies[-1]
    allow_in = Rule(
        action=Action.ALLOW,
        protocol=TCP,
        source=Match(sets=("s:client",)),
        destination=Match(ports=ports),
    )
    policies[last] = PolicyRules(ingress=(*policies[last].ingress[:-1], allow_in))
    return msgspec.structs.replace(
        base,
        endpoints=base.endpoints
        | {client.interface: msgspec.structs.replace(client, egress=client.ingress)},
        policies=policies,
        address_sets=base.address_sets
        | {
            "s:client": AddressSet(addresses=frozenset(client.addresses)),
            "s:server": AddressSet(addresses=frozenset(server.addresses)),
        },
    )


def without_policies(state: PolicyState) -> PolicyState:
    """Return *state* with its pods, profiles and nothing else."""

    endpoints = {
        name: msgspec.structs.replace(endpoint, ingress=(), egress=())
        for name, endpoint in state.endpoints.items()
    }
    return msgspec.structs.replace(state, endpoints=endpoints, policies={}, address_sets={})


def interface(pod: int) -> str:
    return f"cali{pod:011x}"


def pod_address(state: PolicyState, pod: int) -> Address:
    return state.endpoints[interface(pod)].addresses[0]


def connect_pods(node: Path, state: PolicyState, pods: Mapping[int, Path]) -> None:
    """Attach *pods* to the *node* as its agent does."""

    sync_sysctls(NODE_SYSCTLS)
    with NetlinkSocket(namespace=node) as netlink:
        sync_rules(our_rules(OURS), Rules(netlink))
        interfaces = PodInterfaces(netlink)
        for pod, namespace in pods.items():
            interfaces.attach(
                PodInterface(
                    host_interface=interface(pod),
                    namespace=namespace,
                    addresses=(pod_address(state, pod),),
                    mtu_bytes=MTU_BYTES,
                )
            )
            sync_sysctls({"net/ipv4/ip_local_port_range": "10000 65535"}, namespace=namespace)


def load(case: Case, state: PolicyState) -> None:
    """Put *case* into the kernel of the calling thread's namespace."""

    match case:
        case Case.NONE:
            return
        case Case.CONNTRACK:
            subprocess.run(["nft", "-f", "-"], input=STATEFUL, text=True, check=True)
        case Case.EMPTY | Case.POLICIES:
            table = KernelTable()
            NftApplier(table).apply(state if case is Case.POLICIES else without_policies(state))
            table.close()


@contextmanager
def namespace(role: str) -> Iterator[Path]:
    """Yield the path of a new namespace; remove it whatever happens."""
    # As kernel tests name theirs: the sweep of `chita lab down` leaves them alone.
    name = f"chita-tbench{os.getpid()}-{role}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield Path("/run/netns") / name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
