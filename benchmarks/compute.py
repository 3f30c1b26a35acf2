"""What policy costs on a node: from parsed objects to NodeState, and what each change costs then.

    python benchmarks/compute.py                  every input; JSON on the standard output
    python benchmarks/compute.py world_g ...      only those named

Each input is measured in a process of its own, for its peak of resident memory (``VmHWM``, which
counts the interpreter and the input too). Times are of the processor: all of it is one thread that
waits for nothing, and what else the machine does must not count. A figure counts only if the state
kept from changes equals the one computed from scratch at the end.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import felix_inputs
import msgspec
import world_g
from world_g import WorldG, entity

from chita.compute.evaluate import Evaluator
from chita.compute.flow import Flow
from chita.compute.incremental import IncrementalPolicy
from chita.compute.node import desired_node_state
from chita.compute.policy import policy_state
from chita.desired.node_state import NodeState
from chita.model.cluster import Change, ClusterState, Entity, Put, Remove, fold
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import TCP
from chita.model.policy import Policy

SUSTAINED_S = 5.0
"""How long updates are kept up; the first computation's leftovers are long gone by then."""

Figures = dict[str, object]


def world_g_figures() -> Figures:
    """Return figures of 10,000 pods, 200 of them local, and 1,000 policies."""
    world = WorldG()
    kept, figures = first_state(world.entities(), world.node)
    figures["change_ms"] = change_figures(kept, world_changes(world, 200), world.node)
    figures["everybody_ms"] = change_figures(kept, everybody_changes(20), world.node)
    check(kept, world.node)
    return figures


def large_figures() -> Figures:
    """Return figures of 100,000 pods and 2,000 policies."""
    world = WorldG(pods=100_000, policies=2_000)
    kept, figures = first_state(world.entities(), world.node)
    figures["change_ms"] = change_figures(kept, world_changes(world, 100), world.node)
    figures["updates_per_s"] = sustained(kept, world)
    check(kept, world.node)
    return figures


def network_set_figures() -> Figures:
    """Return figures of Felix's input of 1,000 network sets, each with a policy."""
    return first_state(felix_inputs.network_sets(10_000, 1_000), felix_inputs.LOCAL)[1]


def marker_figures() -> Figures:
    """Return figures of Felix's input of 250,000 endpoints and 10,000 policies."""
    return first_state(felix_inputs.marker_policies(250_000, 10_000), felix_inputs.LOCAL)[1]


def flow_figures(count: int = 100_000) -> Figures:
    """Return seconds for *count* flows between 1,000 pods under 500 policies."""
    world = WorldG(pods=1_000, local=100, policies=500)
    cluster = fold(ClusterState(), map(Put, world.entities()))
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
    start = time.process_time()
    evaluator = Evaluator(cluster)
    built = time.process_time() - start
    for flow in flows:
        evaluator.evaluate(flow)
    return {
        "flows": count,
        "index_s": round(built, 3),
        "total_s": round(time.process_time() - start, 3),
    }


def explain_figures(count: int = 100_000) -> Figures:
    """Return seconds that ``chita explain --flows`` takes for *count* flows among 1,000 pods."""
    world = WorldG(pods=1_000, local=100, policies=500)
    items = [each for each in world.resources() if each["kind"] != "Profile"]
    pods = [each for each in items if each["kind"] == "WorkloadEndpoint"]
    names = [f"{each['metadata']['namespace']}/{each['spec']['pod']}" for each in pods]
    flows = [
        {
            "from": names[i * 7919 % 1000],
            "to": names[(i * 104729 + i // 1000) % 1000],
            "port": (53, 1500, 5432, 8080, 9000)[i % 5],
        }
        for i in range(count)
    ]
    with TemporaryDirectory() as folder:
        world_file, flows_file = Path(folder, "world.json"), Path(folder, "flows.json")
        document = {"apiVersion": "v1", "kind": "List", "items": items}
        world_file.write_text(json.dumps(document))
        flows_file.write_text(json.dumps(flows))
        asked = ["explain", "-f", str(world_file), "--flows", str(flows_file), "-o", "json"]
        done = subprocess.run(
            [sys.executable, "-m", "chita", *asked], stdout=subprocess.PIPE, check=True
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(json.loads(done.stdout)) == count
    return {"flows": count, "total_s": round(used.ru_utime + used.ru_stime, 3)}


def first_state(entities: Iterable[Entity], node: str) -> tuple[IncrementalPolicy, Figures]:
    """Return the policy of *entities* on *node*, and what the way from them to NodeState cost."""
    changes: list[Change] = [Put(each) for each in entities]
    before_mb = resident_mb("VmRSS")
    start = time.process_time()
    kept = IncrementalPolicy(node)
    state = node_state(kept, changes, node).policy
    taken = time.process_time() - start
    return kept, {
        "objects": len(changes),
        "sets": len(state.address_sets) + len(state.port_sets),
        "policies": len(state.policies),
        "first_s": round(taken, 3),
        "input_mb": before_mb,
        "peak_mb": resident_mb("VmHWM"),
    }


def node_state(kept: IncrementalPolicy, changes: Iterable[Change], node: str) -> NodeState:
    """Return what *node* should hold after *changes*; no other node is reached here."""
    policy = kept.apply(changes)
    return desired_node_state(kept.cluster, node, {}, policy)


def resident_mb(field: str) -> float:
    """Return a size of this process from /proc, in MB of 1,000,000 bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return round(int(found[1]) * 1024 / 1e6, 1)


def world_changes(world: WorldG, repeats: int) -> Iterator[tuple[str, Change]]:
    """Yield *repeats* changes of every kind; each is undone by a later one."""
    local = [number for number in range(world.pods) if world.is_local(number)]
    remote = [number for number in range(world.pods) if not world.is_local(number)]
    for i in range(repeats // 2):
        for where, numbers in (("local", local), ("remote", remote)):
            number = numbers[i * 31 % len(numbers)]
            old = entity(world.pod(number))
            assert isinstance(old, WorkloadEndpoint)
            yield f"pod removed, {where}", Remove(WorkloadEndpoint, old.key)
            yield f"pod added, {where}", Put(old)
            yield f"pod labels, {where}", Put(entity(world.pod(number, version=f"v{i % 3}-new")))
            yield f"pod labels, {where}", Put(old)
        which = i * 17 % world.policies
        usual = entity(world_g.policy(which))
        yield "policy changed", Put(entity(world_g.policy(which, port_offset=1)))
        yield "policy changed", Put(usual)
        yield "policy removed", Remove(Policy, usual.key)
        yield "policy added", Put(usual)
        namespace = i % world_g.NAMESPACES
        yield "namespace labels", Put(entity(world_g.profile(namespace, team=(i + 3) % 10)))
        yield "namespace labels", Put(entity(world_g.profile(namespace)))


def everybody_changes(repeats: int) -> Iterator[tuple[str, Change]]:
    """Yield a policy that applies to every pod and names every pod, coming and going."""
    resource = world_g.policy(0)
    resource["metadata"]["name"] = "everybody"
    resource["spec"] |= {
        "order": 1,
        "selector": "all()",
        "ingress": [{"action": "Pass", "source": {"selector": "all()"}}],
        "egress": [],
    }
    everybody = entity(resource)
    for _ in range(repeats):
        yield "policy added", Put(everybody)
        yield "policy removed", Remove(Policy, everybody.key)


def change_figures(
    kept: IncrementalPolicy, changes: Iterable[tuple[str, Change]], node: str
) -> dict[str, dict[str, float]]:
    """Return milliseconds to the new NodeState by kind of change, and over all."""
    samples: dict[str, list[float]] = {"all": []}
    for kind, change in changes:
        start = time.process_time()
        node_state(kept, [change], node)
        taken = (time.process_time() - start) * 1e3
        samples.setdefault(kind, []).append(taken)
        samples["all"].append(taken)
    spreads = {kind: spread(values) for kind, values in samples.items()}
    worst = {figure: max(each[figure] for each in spreads.values()) for figure in spreads["all"]}
    return {**spreads, "worst": worst}


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)

    return {"median": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 3)}


def sustained(kept: IncrementalPolicy, world: WorldG) -> float:
    """Return how many pods a second can change, each computed by itself."""
    changes: list[Change] = []
    for number in range(0, world.pods, 97):
        changes += [Put(entity(world.pod(number, version="new"))), Put(entity(world.pod(number)))]
    done, start = 0, time.process_time()
    while time.process_time() - start < SUSTAINED_S:
        kept.apply([changes[done % len(changes)]])
        done += 1
    return round(done / (time.process_time() - start))


def check(kept: IncrementalPolicy, node: str) -> None:
    if kept.state != policy_state(kept.cluster, node):
        raise SystemExit("kept from changes differs from scratch: no figure of it counts")


INPUTS: dict[str, Callable[[], Figures]] = {
    "world_g": world_g_figures,
    "large": large_figures,
    "felix_network_sets": network_set_figures,
    "felix_markers": marker_figures,
    "flows": flow_figures,
    "explain": explain_figures,
}


def measured(name: str) -> object:
    """Return the figures of input *name*, from a process of its own."""
    command = [sys.executable, __file__, "--here", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout)


def main() -> None:
    if sys.argv[1:2] == ["--here"]:
        print(json.dumps(INPUTS[sys.argv[2]]()))
    else:
        print(json.dumps({name: measured(name) for name in sys.argv[1:] or INPUTS}, indent=2))


if __name__ == "__main__":
    main()
