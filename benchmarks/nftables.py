"""What changes of policy cost in the kernel, beside the same changes through libnftables.

A node with 1,000 policies of five rules, 110 pods, 500 selectors of 20 addresses and one of 20,000
addresses and 20,000 networks. Run as root; it works in a network namespace of its own.

    python benchmarks/nftables.py > result.json
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.diff import diff
from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.ruleset import RulesetBuilder, policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.transaction import render_transaction
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
from nftables_world import inside

POLICIES, PODS, SELECTORS, LARGE = 1_000, 110, 500, 20_000
ROUNDS = 30
BIG = "s:big"


def policy(number: int, port: int = 80) -> PolicyRules:
    """Return a policy of five ingress rules."""
    rules = [
        Rule(
            action=Action.ALLOW,
            protocol=TCP,
            source=Match(sets=(f"s:{(number + i) % SELECTORS}",)),
            destination=Match(ports=(PortRange(port + i, port + i), PortRange(443, 443))),
        )
        for i in range(4)
    ]
    return PolicyRules(ingress=(*rules, Rule(action=Action.ALLOW, source=Match(sets=(BIG,)))))


def state() -> PolicyState:
    """Return the node's state."""
    names = [f"NetworkPolicy/shop/p{number}" for number in range(POLICIES)]
    each = POLICIES // PODS + 1
    endpoints = {}
    for pod in range(PODS):
        mine = tuple(names[pod * each : (pod + 1) * each])
        tier = TierPolicies(tier="default", policies=mine, end=Action.DENY)
        endpoints[f"cali{pod:011x}"] = EndpointPolicy(
            interface=f"cali{pod:011x}",
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
        policies={name: policy(number) for number, name in enumerate(names)},
        profiles={
            "kns.shop": PolicyRules(
                ingress=(Rule(action=Action.ALLOW),), egress=(Rule(action=Action.ALLOW),)
            )
        },
        address_sets=sets,
    )


def changed_policy(base: PolicyState, turn: int) -> PolicyState:
    """One policy's rules differ."""
    policies = base.policies | {"NetworkPolicy/shop/p7": policy(7, 1_000 + turn)}
    return msgspec.structs.replace(base, policies=policies)


def added_policy(base: PolicyState, turn: int) -> PolicyState:
    """A pod gets one more policy, with a selector of its own."""
    key = f"NetworkPolicy/shop/new-{turn}"
    pod = f"cali{0:011x}"
    old = base.endpoints[pod]
    tier = msgspec.structs.replace(old.ingress[0], policies=(*old.ingress[0].policies, key))
    source = Match(sets=(f"s:new-{turn}",))
    return msgspec.structs.replace(
        base,
        endpoints=base.endpoints | {pod: msgspec.structs.replace(old, ingress=(tier,))},
        policies=base.policies
        | {key: PolicyRules(ingress=(Rule(action=Action.ALLOW, source=source),))},
        address_sets=base.address_sets
        | {f"s:new-{turn}": AddressSet(addresses=frozenset({Address(4, 0x0D000000 + turn)}))},
    )


def grown(base: PolicyState, turn: int) -> PolicyState:
    """The large selector has one address more."""
    big = base.address_sets[BIG]
    more = msgspec.structs.replace(big, addresses=big.addresses | {Address(4, 0x0D000000 + turn)})
    return msgspec.structs.replace(base, address_sets=base.address_sets | {BIG: more})


def grown_small(base: PolicyState, turn: int) -> PolicyState:
    """A small selector has one address more."""
    more = AddressSet(
        addresses=base.address_sets["s:3"].addresses | {Address(4, 0x0D000000 + turn)}
    )
    return msgspec.structs.replace(base, address_sets=base.address_sets | {"s:3": more})


def grown_networks(base: PolicyState, turn: int) -> PolicyState:
    """The large selector has one network more."""
    big = base.address_sets[BIG]
    network = Cidr(4, 0x0E000000 + turn * 256, 24)
    more = msgspec.structs.replace(big, networks=big.networks | {network})
    return msgspec.structs.replace(base, address_sets=base.address_sets | {BIG: more})


def added_pod(base: PolicyState, turn: int) -> PolicyState:
    """A pod more, with the policy of another one."""
    twin = base.endpoints[f"cali{1:011x}"]
    name = f"calinew{turn}"
    pod = msgspec.structs.replace(
        twin, interface=name, endpoint=f"shop/{name}", addresses=(Address(4, 0x0AF50000 + turn),)
    )
    return msgspec.structs.replace(base, endpoints=base.endpoints | {name: pod})


CHANGES: dict[str, Callable[[PolicyState, int], PolicyState]] = {
    "policy_changed": changed_policy,
    "policy_and_selector_added": added_policy,
    "address_into_set_of_20": grown_small,
    "address_into_set_of_20000": grown,
    "network_into_set_of_20000": grown_networks,
    "pod_added": added_pod,
}


def milliseconds(run: Callable[[], object]) -> float:
    """Return how long *run* takes."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def summary(samples: list[float]) -> dict[str, float]:
    """Return median and worst."""
    return {"median_ms": round(statistics.median(samples), 3), "max_ms": round(max(samples), 3)}


def measure() -> dict[str, object]:
    """Return all figures."""
    base = state()
    table = KernelTable()
    applier = NftApplier(table)
    results: dict[str, object] = {}
    results["ruleset_from_nothing"] = summary([milliseconds(lambda: policy_ruleset(base))])
    results["table_from_nothing"] = summary([milliseconds(lambda: applier.apply(base))])
    unchanged = [milliseconds(lambda: applier.apply(base)) for _ in range(9)]
    results["nothing_changed"] = summary(unchanged)
    nft = Libnft()
    for name, change in CHANGES.items():
        ours, kernel, library = [], [], []
        for turn in range(ROUNDS):
            after = change(base, turn)
            ours.append(milliseconds(lambda s=after: applier.apply(s)))  # type: ignore[misc]
            applier.apply(base)
        builder = RulesetBuilder()
        before = builder.build(base)
        for turn in range(ROUNDS):
            step = diff(before, builder.build(change(base, turn)))
            back = diff(builder.build(change(base, turn)), before)
            kernel.append(milliseconds(lambda t=step: table.commit(t)))  # type: ignore[misc]
            table.commit(back)
            if turn < 5:
                text = render_transaction(step)
                library.append(milliseconds(lambda t=text: nft.run(t)))  # type: ignore[misc]
                table.commit(back)
        applier.apply(base)
        results[name] = {
            "apply": summary(ours),
            "commit": summary(kernel),
            "peer_libnftables": summary(library),
        }
    fresh = NftApplier(table)
    start = time.perf_counter()
    outcome = fresh.apply(base).outcome
    results["restarted_agent_adopts"] = {"ms": round((time.perf_counter() - start) * 1e3, 1)}
    assert outcome is Outcome.ADOPTED, outcome
    nft.close()
    table.close()
    return results


def main() -> None:
    """Measure in a namespace of our own and print JSON."""
    name = f"chita-bench-{time.monotonic_ns() % 10**9}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with inside(Path("/run/netns") / name):
            gc.disable()
            print(json.dumps(measure(), indent=2))
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


if __name__ == "__main__":
    main()
