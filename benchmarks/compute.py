"""How long computing the policy of a node takes, from scratch and after one change.

Usage: ``python benchmarks/compute.py [PODS POLICIES LOCAL [REPEATS]]``; prints JSON. The world has
the shape that Felix is measured with: every application has pods on the measured node, a policy
per application and more, five rules each, selectors with one equality at least.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow
from chita.compute.incremental import IncrementalPolicy
from chita.compute.policy import policy_state
from chita.model.cluster import COLLECTIONS, Change, ClusterState, Entity, Put, Remove, fold
from chita.model.endpoint import Profile, WorkloadEndpoint
from chita.model.labels import (
    NAME,
    NAMESPACE,
    NAMESPACE_PREFIX,
    ORCHESTRATOR,
    namespace_profile,
)
from chita.model.net import TCP, UDP, Address, Cidr, PortRange
from chita.model.policy import (
    Action,
    Direction,
    EntityRule,
    Policy,
    PolicyKind,
    Rule,
)
from chita.model.selector import Selector, all_, and_, equals, in_

NODE = "measured"
APPS = 100
NAMESPACES = 100


def namespace_of(pod: int) -> str:
    return f"ns-{pod // 100 % NAMESPACES:03d}"


def profile(number: int, team: int | None = None) -> Profile:
    """Return the profile of namespace *number*."""
    name = f"ns-{number:03d}"
    labels = {
        NAME: name,
        "team": f"team-{number % 10 if team is None else team}",
        "env": ("prod", "stage", "dev")[number % 3],
    }
    allow = (Rule(action=Action.ALLOW),)
    return Profile(
        name=namespace_profile(name),
        labels_to_apply={NAMESPACE_PREFIX + key: value for key, value in labels.items()},
        ingress=allow,
        egress=allow,
    )


def pod(number: int, pods: int, local: int, version: str | None = None) -> WorkloadEndpoint:
    """Return pod *number*; *local* of all are on the measured node."""
    namespace = namespace_of(number)
    return WorkloadEndpoint(
        namespace=namespace,
        name=f"pod-{number:05d}",
        node=NODE if number * 7919 % pods < local else f"node-{number % 50:03d}",
        interface=f"cali{number:06d}",
        labels={
            "app": f"app-{number % APPS}",
            "tier": ("frontend", "backend", "db")[number % 3],
            "version": version or f"v{number // 100 % 5}",
            "group": f"g-{number % 1000}",
            "pod-template-hash": f"h{number % 2500:04d}",
            NAMESPACE: namespace,
            ORCHESTRATOR: "k8s",
        },
        addresses=(Address(4, (10 << 24) + (65 << 16) + number),),
        profiles=(namespace_profile(namespace),),
    )


def policy(number: int, port: int = 8080) -> Policy:
    """Return policy *number*, of five rules."""

    def app(offset: int) -> Selector:
        return equals("app", f"app-{(number + offset) % APPS}")

    def one_port(first: int, last: int = 0) -> tuple[PortRange, ...]:
        return (PortRange(first, last or first),)

    allow, deny = Action.ALLOW, Action.DENY
    several = in_("app", [f"app-{(number + 2) % APPS}", f"app-{(number + 3) % APPS}"])
    team = equals(f"{NAMESPACE_PREFIX}team", f"team-{number % 10}")
    nets = (Cidr.parse(f"10.200.{number % 256}.0/24"), Cidr.parse(f"192.168.{number % 256}.0/24"))
    return Policy(
        kind=PolicyKind.GLOBAL_NETWORK_POLICY,
        namespace="",
        name=f"pol-{number:05d}",
        order=1000.0 + number,
        selector=app(0),
        types=frozenset(Direction),
        ingress=(
            Rule(
                action=allow,
                protocol=TCP,
                source=EntityRule(selector=and_(app(1), equals("tier", "frontend"))),
                destination=EntityRule(ports=one_port(port) + one_port(8443)),
            ),
            Rule(
                action=allow,
                protocol=TCP,
                source=EntityRule(selector=and_(several, team)),
                destination=EntityRule(ports=one_port(1024, 2048)),
            ),
            Rule(
                action=allow,
                protocol=UDP,
                source=EntityRule(nets=nets),
                destination=EntityRule(ports=one_port(53)),
            ),
        ),
        egress=(
            Rule(
                action=allow,
                protocol=TCP,
                destination=EntityRule(
                    selector=and_(app(7), equals("version", f"v{number % 5}")),
                    ports=one_port(5432),
                ),
            ),
            Rule(
                action=deny,
                protocol=TCP,
                destination=EntityRule(
                    selector=equals("group", f"g-{number}"), ports=one_port(9000)
                ),
            ),
        ),
    )


def world(pods: int, policies: int, local: int) -> ClusterState:
    """Return the cluster to compute for."""
    entities: list[Entity] = [profile(number) for number in range(NAMESPACES)]
    entities += [policy(number) for number in range(policies)]
    entities += [pod(number, pods, local) for number in range(pods)]
    return fold(ClusterState(), map(Put, entities))


def global_policy() -> Policy:
    """Return a policy that applies to every pod and names every pod as a peer."""
    return Policy(
        kind=PolicyKind.GLOBAL_NETWORK_POLICY,
        namespace="",
        name="everybody",
        order=1.0,
        selector=all_(),
        types=frozenset(Direction),
        ingress=(Rule(action=Action.PASS, source=EntityRule(selector=all_())),),
    )


def changes(pods: int, policies: int, local: int, repeats: int) -> Iterator[tuple[str, Change]]:
    """Yield changes of every kind; each is undone by a later one."""
    for i in range(repeats):
        number, which = i * 31 % pods, i * 17 % policies
        old = pod(number, pods, local)
        yield "pod removed", Remove(WorkloadEndpoint, old.key)
        yield "pod added", Put(old)
        yield "pod labels", Put(pod(number, pods, local, version=f"v{i % 3}-new"))
        yield "pod labels", Put(old)
        yield "policy rules", Put(policy(which, port=9090))
        yield "policy removed", Remove(Policy, policy(which).key)
        yield "policy added", Put(policy(which))
        yield "global policy added", Put(global_policy())
        yield "global policy removed", Remove(Policy, global_policy().key)
        yield "namespace labels", Put(profile(i % NAMESPACES, team=(i + 3) % 10))
        yield "namespace labels", Put(profile(i % NAMESPACES))


def timed_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure_changes(
    cluster: ClusterState, pods: int, policies: int, local: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Return milliseconds by kind of change, and over all."""
    kept = IncrementalPolicy(NODE)
    start = [Put(each) for name in COLLECTIONS.values() for each in getattr(cluster, name).values()]
    first = timed_ms(lambda: kept.apply(start))
    samples: dict[str, list[float]] = {"all": []}
    for kind, change in changes(pods, policies, local, repeats):
        taken = timed_ms(lambda change=change: kept.apply([change]))  # type: ignore[misc]
        samples.setdefault(kind, []).append(taken)
        samples["all"].append(taken)
    if kept.state != policy_state(kept.cluster, NODE):
        raise SystemExit("incremental differs from scratch: no figure of it counts")
    figures = {
        kind: {
            "median": round(percentile(values, 0.5), 3),
            "p99": round(percentile(values, 0.99), 3),
            "max": round(max(values), 3),
        }
        for kind, values in samples.items()
    }
    return {"first": {"all": round(first, 1)}, **figures}


def measure_flows(count: int) -> dict[str, float]:
    """Return seconds for *count* flows between 1,000 pods under 500 policies."""
    cluster = world(1000, 500, 100)
    addresses = [each.addresses[0] for each in cluster.workloads.values()]
    ports = (53, 1500, 5432, 8080, 9000)
    flows = [
        Flow(
            source=addresses[i * 7919 % 1000],
            destination=addresses[(i * 104729 + i // 1000) % 1000],
            protocol=TCP,
            destination_port=ports[i % 5],
        )
        for i in range(count)
    ]
    start = time.perf_counter()
    evaluator = Evaluator(cluster)
    built = time.perf_counter() - start
    for flow in flows:
        evaluator.evaluate(flow)
    return {
        "flows": count,
        "index_s": round(built, 3),
        "total_s": round(time.perf_counter() - start, 3),
    }


def main() -> None:
    pods, policies, local, repeats = (
        int(each) for each in (sys.argv[1:] + ["2000", "500", "200", "50"][len(sys.argv) - 1 :])
    )
    cluster = world(pods, policies, local)
    scratch = [timed_ms(lambda: policy_state(cluster, NODE)) for _ in range(3)]
    state = policy_state(cluster, NODE)
    result = {
        "pods": pods,
        "policies": policies,
        "local": local,
        "sets": len(state.address_sets) + len(state.port_sets),
        "bytes": len(msgspec.msgpack.encode(state, enc_hook=str)),
        "scratch_ms": round(min(scratch), 1),
        "change_ms": measure_changes(cluster, pods, policies, local, repeats),
        "evaluate": measure_flows(100_000),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
