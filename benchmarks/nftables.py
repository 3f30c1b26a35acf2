"""What changes of policy cost in the kernel, beside the same changes through libnftables.

World G (benchmarks/world_g.py): 10,000 pods, 200 of them local, 1,000 policies of five rules, 1,300
selectors. One policy more names a selector of 20,000 addresses, one of 100,000 and one of 20,000
networks. Run as root; it works in a network namespace of its own.

    python benchmarks/nftables.py > result.json
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from world_g import WorldG, entity, policy, profile

from chita.compute.incremental import IncrementalPolicy
from chita.dataplane.nftables.applier import NftApplier, Outcome
from chita.dataplane.nftables.diff import diff
from chita.dataplane.nftables.libnft import Libnft
from chita.dataplane.nftables.ruleset import policy_ruleset
from chita.dataplane.nftables.table import KernelTable
from chita.dataplane.nftables.transaction import render_transaction
from chita.desired.policy import (
    AddressSet,
    EndpointPolicy,
    Match,
    PolicyRules,
    PolicyState,
    Rule,
)
from chita.model.cluster import Change, Put, Remove
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import Address, Cidr
from chita.model.policy import Action, Policy
from nftables_world import inside

ROUNDS = 40
PEER_ROUNDS = 2
VERIFY_MS = 1_000
WORLD = WorldG()
LARGE = "NetworkPolicy/bench/large"
SIZES = {"s:20": 20, "s:20000": 20_000, "s:100000": 100_000}
NETWORKS = "s:networks"


def with_large_sets(state: PolicyState) -> PolicyState:
    """Return *state* with a policy more, whose sets are large; they are the same ones each time."""
    first = min(state.endpoints)
    old = state.endpoints[first]
    return msgspec.structs.replace(
        state,
        endpoints=state.endpoints | {first: _with_policy(old)},
        policies=state.policies | LARGE_POLICY,
        address_sets=state.address_sets | LARGE_SETS,
    )


def _with_policy(old: EndpointPolicy) -> EndpointPolicy:
    if old not in _KNOWN:
        tier = msgspec.structs.replace(old.ingress[0], policies=(*old.ingress[0].policies, LARGE))
        _KNOWN[old] = msgspec.structs.replace(old, ingress=(tier,))
    return _KNOWN[old]


_KNOWN: dict[EndpointPolicy, EndpointPolicy] = {}
_ALLOW = Action.ALLOW
LARGE_POLICY = {
    LARGE: PolicyRules(
        ingress=tuple(
            Rule(action=_ALLOW, source=Match(sets=(name,))) for name in (*SIZES, NETWORKS)
        )
    )
}
LARGE_SETS = {
    name: AddressSet(addresses=frozenset(Address(4, 0x0B000000 + i) for i in range(size)))
    for name, size in SIZES.items()
} | {NETWORKS: AddressSet(networks=frozenset(Cidr(4, 0x0C000000 + i * 512, 24)
                                             for i in range(20_000)))}  # fmt: skip


REMOTE, LOCAL = (
    next(number for number in range(3_000, WORLD.pods) if WORLD.is_local(number) is local)
    for local in (False, True)
)


def cluster_changes(cluster: IncrementalPolicy) -> Iterator[tuple[str, PolicyState]]:
    """Yield states of World G after changes of each kind, and what kind it was."""
    for turn in range(ROUNDS):
        number = 50 + 7 * turn
        new = Put(entity(policy(WORLD.policies + turn)))
        pod = Put(entity(WORLD.pod(LOCAL)))
        changes: list[tuple[str, Change]] = [
            ("policy_changed", Put(entity(policy(number, 1)))),
            ("policy_added", new),
            ("policy_removed", Remove(Policy, new.entity.key)),
            ("remote_pod_relabelled", Put(entity(WORLD.pod(REMOTE + turn, version="v9")))),
            ("local_pod_removed", Remove(WorkloadEndpoint, pod.entity.key)),
            ("local_pod_added", pod),
            ("namespace_relabelled", Put(entity(profile(turn, 11)))),
        ]
        for kind, change in changes:
            yield kind, with_large_sets(cluster.apply([change]))


def set_changes(base: PolicyState) -> Iterator[tuple[str, PolicyState]]:
    """Yield states in which one set has a member more, and *base* between them."""
    for turn in range(ROUNDS):
        address, network = Address(4, 0x0D000000 + turn), Cidr(4, 0x0E000000 + turn * 256, 24)
        more = {
            f"address_into_set_of_{size}": (name, grown(base.address_sets[name], address))
            for name, size in SIZES.items()
        }
        networks = base.address_sets[NETWORKS].networks | {network}
        more["network_into_set_of_20000"] = NETWORKS, AddressSet(networks=networks)
        for kind, (name, members) in more.items():
            sets = base.address_sets | {name: members}
            yield kind, msgspec.structs.replace(base, address_sets=sets)
            yield "", base


def grown(members: AddressSet, address: Address) -> AddressSet:
    """Return *members* with *address*."""
    return AddressSet(addresses=members.addresses | {address})


def milliseconds(run: Callable[[], object]) -> float:
    """Return how long *run* takes."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def summary(samples: list[float]) -> dict[str, float]:
    """Return median, 99th percentile and worst."""
    ordered = sorted(samples)
    return {
        "median_ms": round(statistics.median(samples), 3),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 3),
        "max_ms": round(ordered[-1], 3),
    }


def measure() -> dict[str, object]:
    """Return all figures."""
    cluster = IncrementalPolicy(WORLD.node)
    state = cluster.apply([Put(each) for each in WORLD.entities()])
    results: dict[str, object] = {"ruleset_from_nothing_ms": milliseconds(
        lambda: policy_ruleset(state))}  # fmt: skip
    table = KernelTable()
    applier = NftApplier(table)
    results["table_from_nothing_ms"] = milliseconds(lambda: applier.apply(state))
    start = time.perf_counter()
    outcome = NftApplier(table).apply(state).outcome
    results["restarted_agent_adopts_ms"] = (time.perf_counter() - start) * 1e3
    assert outcome is Outcome.ADOPTED, outcome
    base = with_large_sets(state)
    applier.apply(base)
    unchanged = [milliseconds(lambda: applier.apply(base)) for _ in range(9)]
    results["nothing_changed"] = summary(unchanged)
    samples: dict[str, list[float]] = {}
    library: dict[str, list[float]] = {}
    for states in (set_changes(base), cluster_changes(cluster)):
        before = base
        for kind, after in states:
            taken = milliseconds(lambda s=after: applier.apply(s))  # type: ignore[misc]
            samples.setdefault(kind, []).append(taken)
            if kind and len(library.setdefault(kind, [])) < PEER_ROUNDS:
                library[kind].append(by_library(table, before, after))
                applier.apply(after)
            before = after
    results["verification"] = verification(applier)
    results["foreign_change_mended_ms"] = mending(applier, before)
    for kind, taken_ms in samples.items():
        if kind:
            peer = summary(library[kind])
            results[kind] = {"apply": summary(taken_ms), "peer_libnftables": peer}
    table.close()
    return results


def verification(applier: NftApplier) -> dict[str, float]:
    """Return how long it takes to read all again in slices, and the longest slice."""
    slices: list[float] = []
    while sum(slices) < VERIFY_MS:
        slices.append(milliseconds(lambda: applier.verify_some(0.002)))
    return {"slices": len(slices), "longest_slice_ms": round(max(slices), 3)}


def mending(applier: NftApplier, state: PolicyState) -> float:
    """Return how long it takes to undo what somebody else did to a chain."""
    nft = Libnft()
    nft.run("add rule inet chita forward-egress accept")
    nft.close()
    assert not applier.verify_some(0)
    taken = milliseconds(lambda: applier.apply(state))
    assert applier.verify_some(0)
    return round(taken, 3)


def by_library(table: KernelTable, before: PolicyState, after: PolicyState) -> float:
    """Return how long the same change takes through libnftables; the table holds *after*."""
    old, new = policy_ruleset(before), policy_ruleset(after)
    table.commit(diff(new, old))
    nft = Libnft()
    text = render_transaction(diff(old, new))
    taken = milliseconds(lambda: nft.run(text))
    nft.close()
    return taken


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
