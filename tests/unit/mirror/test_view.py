"""ClusterView: whatever way objects come, the cluster is what the objects that are there mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import workload
from chita.api.kinds import CALICO, CHITA, CORE, RESOURCES, WATCHED, Resource
from chita.api.watch import Batch, Changed, Deleted, Interrupted, Listed, Part, Resumed
from chita.convert.entities import SETTINGS_KINDS, changes, group_kind
from chita.convert.fabric import settings
from chita.mirror.view import ClusterView, object_id
from chita.model.cluster import Change, ClusterState, Put, fold
from chita.model.endpoint import WorkloadEndpoint
from chita.model.net import Address
from chita.model.settings import Encryption

Object = dict[str, Any]
POD, SET = CORE["Pod"], CALICO["GlobalNetworkSet"]
FELIX, FABRIC = CALICO["FelixConfiguration"], CHITA["FabricConfiguration"]


def obj(resource: Resource, name: str, version: int = 1, **fields: Any) -> Object:
    metadata: Object = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    if resource.is_namespaced:
        metadata["namespace"] = "shop"
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        **fields,
    }


def pod(
    name: str = "web", version: int = 1, *, node: str = "node-1", ip: str = "10.244.0.1",
    phase: str = "Running",
) -> Object:  # fmt: skip
    return obj(
        POD, name, version, spec={"nodeName": node}, status={"podIPs": [{"ip": ip}], "phase": phase}
    )


def network_set(name: str, version: int, *nets: str) -> Object:
    return obj(SET, name, version, spec={"nets": list(nets)})


class Cluster:
    """A view and the cluster that its changes make."""

    def __init__(self, node: str = "node-1") -> None:
        self.view = ClusterView(node, WATCHED)
        self.state = ClusterState()

    def take(self, *batches: Batch) -> None:
        for batch in batches:
            self.fold(self.view.absorb(batch))

    def fold(self, found: list[Change]) -> None:
        self.state = fold(self.state, found)

    def workload(self, key: str) -> WorkloadEndpoint | None:
        return self.state.workloads.get(key)

    def addresses(self, key: str) -> list[str]:
        found = self.state.workloads.get(key)
        return [str(address) for address in found.addresses] if found else []


def test_in_sync_once_everything_was_listed() -> None:
    view = ClusterView("node-1", WATCHED)
    for resource in WATCHED:
        assert not view.in_sync
        view.absorb(Changed(resource, obj(resource, "x")))
        view.absorb(Listed(resource, []))

    assert view.in_sync


def test_what_a_list_lacks_is_gone() -> None:
    """A relist is the whole truth of its own kind and says nothing of others."""
    cluster = Cluster()
    cluster.take(Listed(SET, [network_set("a", 1), network_set("b", 2)]), Listed(POD, [pod()]))

    cluster.take(Listed(SET, [network_set("b", 2)]))

    assert {"/b"} == cluster.state.network_sets.keys()
    assert {"shop/web"} == cluster.state.workloads.keys()


def test_what_is_repeated_changes_nothing() -> None:
    """A relist after an expired version repeats nearly everything."""
    cluster = Cluster()
    batch = Listed(SET, [network_set("a", 1, "192.0.2.0/24")])
    cluster.take(batch)

    assert [] == cluster.view.absorb(batch)


def test_a_bad_object_is_absent_and_named() -> None:
    """It takes what it meant before with it, and mended it is back."""
    cluster = Cluster()
    identity = ("projectcalico.org/v3/GlobalNetworkSet", "", "a")
    cluster.take(Listed(SET, [network_set("a", 1, "192.0.2.0/24"), network_set("b", 2)]))

    cluster.take(Changed(SET, network_set("a", 3, "no network")))

    assert {"/b"} == cluster.state.network_sets.keys()
    assert {identity} == cluster.view.problems.keys()
    assert "no network" in cluster.view.problems[identity]

    cluster.take(Changed(SET, network_set("a", 4, "192.0.2.0/24")))

    assert {"/a", "/b"} == cluster.state.network_sets.keys()
    assert {} == cluster.view.problems

    cluster.take(Changed(SET, network_set("a", 5, "no network")), Listed(SET, []))

    assert {} == cluster.view.problems


@pytest.mark.parametrize("batch", [Changed, Deleted])
def test_a_bad_object_takes_nothing_of_another(batch: type[Changed | Deleted]) -> None:
    """A Profile that takes the name of a namespace's profile, against the rules, is just absent."""
    cluster = Cluster()
    kind = CALICO["Profile"]
    cluster.take(Listed(CORE["Namespace"], [obj(CORE["Namespace"], "shop")]))

    cluster.take(Changed(kind, obj(kind, "kns.shop", 2, spec={})))
    cluster.take(batch(kind, obj(kind, "kns.shop", 3, spec={})))

    assert {"kns.shop"} == cluster.state.profiles.keys()


def test_a_block_whose_network_changes_leaves_nothing_behind() -> None:
    """Its key is in its spec, not in its name."""
    cluster = Cluster()
    kind = CALICO["IPAMBlock"]

    def block(version: int, cidr: str) -> Object:
        return obj(kind, "block", version, spec={"cidr": cidr})

    cluster.take(Changed(kind, block(1, "10.244.0.0/26")), Changed(kind, block(2, "10.244.1.0/26")))

    assert {"10.244.1.0/26"} == cluster.state.blocks.keys()


def test_interruptions_are_named_until_they_end() -> None:
    """Plurals repeat between groups, so the name has the group."""
    cluster = Cluster()
    cluster.take(Interrupted(SET, "gone"), Interrupted(POD, "gone"))

    assert {"globalnetworksets.projectcalico.org", "pods"} == cluster.view.interrupted.keys()

    cluster.take(Resumed(SET), Listed(POD, []))

    assert {} == cluster.view.interrupted


def test_settings_of_two_kinds_are_one() -> None:
    """FabricConfiguration wins where both speak; an object of another name has no say."""
    cluster = Cluster()
    felix = obj(FELIX, "default", 1, spec={"wireguardListeningPort": 1111, "vxlanPort": 2222})
    cluster.take(
        Changed(FELIX, felix),
        Changed(FABRIC, obj(FABRIC, "default", 1, spec={"wireguardPort": 3333})),
        Changed(FABRIC, obj(FABRIC, "other", 1, spec={"vxlanPort": 4444, "encryption": "All"})),
    )

    setting = cluster.state.setting
    assert (3333, 2222) == (setting.wireguard_port, setting.vxlan_port)
    assert setting.encryption is not Encryption.ALL

    cluster.take(Deleted(FABRIC, obj(FABRIC, "default", 2)))

    assert 1111 == cluster.state.setting.wireguard_port

    cluster.take(Deleted(FELIX, felix))

    assert ClusterState() == cluster.state


ATTACHED = workload("shop/web", "10.244.0.9")


def test_an_interface_is_the_truth_for_its_pod() -> None:
    """However old the API's copy of the pod is."""
    cluster = Cluster()
    cluster.fold(cluster.view.attach(ATTACHED))
    assert ["10.244.0.9"] == cluster.addresses("shop/web")

    cluster.take(Changed(POD, pod(ip="10.244.0.1")))

    assert ["10.244.0.9"] == cluster.addresses("shop/web")


def test_an_interface_keeps_its_policy_until_it_is_removed() -> None:
    """The Pod is deleted in the API before the runtime calls DEL."""
    cluster = Cluster()
    cluster.take(Changed(POD, pod()))
    cluster.fold(cluster.view.attach(ATTACHED))

    cluster.take(Deleted(POD, pod(version=2)))
    assert ["10.244.0.9"] == cluster.addresses("shop/web")

    cluster.fold(cluster.view.detach("shop/web"))
    assert cluster.workload("shop/web") is None


def test_a_detached_pod_has_no_addresses_whatever_the_api_says() -> None:
    """They are free: the next pod to get them must not be taken for this one."""
    cluster = Cluster()
    cluster.take(Changed(POD, pod(ip="10.244.0.9")))
    cluster.fold(cluster.view.attach(ATTACHED))

    cluster.fold(cluster.view.detach("shop/web"))
    cluster.take(Changed(POD, pod(version=2, ip="10.244.0.9")))
    assert [] == cluster.addresses("shop/web")

    cluster.fold(cluster.view.attach(ATTACHED))
    assert ["10.244.0.9"] == cluster.addresses("shop/web")


def test_a_pod_of_that_name_on_another_node_is_not_ours() -> None:
    """A StatefulSet's pod moved: our old interface neither claims nor clears the new one."""
    cluster = Cluster()
    cluster.fold(cluster.view.attach(ATTACHED))

    cluster.take(Changed(POD, pod(version=2, node="node-2", ip="10.244.7.7")))
    assert ["10.244.7.7"] == cluster.addresses("shop/web")

    cluster.fold(cluster.view.detach("shop/web"))
    assert ["10.244.7.7"] == cluster.addresses("shop/web")


def test_detach_of_what_is_not_attached() -> None:
    assert [] == ClusterView("node-1", WATCHED).detach("shop/web")


def test_an_object_read_by_name_counts_until_the_watch_passes_it() -> None:
    """A CNI call reads a pod that the watch has not shown; old news must not come back by it."""
    cluster = Cluster()
    cluster.take(Listed(POD, [pod("other", 5)]))

    cluster.fold(cluster.view.read(POD, pod("web", 7)))
    assert cluster.view.object(POD, "shop", "web") is not None
    assert [] == cluster.view.absorb(Changed(POD, pod("web", 7)))

    cluster.take(Deleted(POD, pod("web", 8)))
    cluster.fold(cluster.view.read(POD, pod("web", 7)))
    assert cluster.workload("shop/web") is None
    assert cluster.view.object(POD, "shop", "web") is None


KINDS = [SET, POD, CORE["Namespace"], CALICO["Tier"], CALICO["NetworkPolicy"], FELIX, FABRIC]
NAMES = ["default", "a", "b"]
SPECS: dict[str, st.SearchStrategy[Any]] = {
    "GlobalNetworkSet": st.sampled_from([{"nets": ["192.0.2.0/24"]}, {"nets": ["bad"]}, {}]),
    "Pod": st.sampled_from([{"nodeName": "node-1"}, {"nodeName": "node-2"}]),
    "Tier": st.sampled_from([{"order": 1}, {"order": 2}, {"order": "bad"}]),
    "NetworkPolicy": st.sampled_from(
        [{"selector": "all()"}, {"selector": "a =="}, {"ingress": [{"action": "Allow"}]}]
    ),
    "FelixConfiguration": st.sampled_from([{"vxlanPort": 1}, {"vxlanPort": "bad"}, {}]),
    "FabricConfiguration": st.sampled_from([{"vxlanPort": 3}, {"encryption": "All"}, {}]),
}


def parts(resource: Resource, items: list[Object], size: int) -> list[Batch]:
    """Return a list of *items* in parts of *size*."""
    if len(items) <= size:
        return [Listed(resource, items)]
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    first, *middle, last = chunks
    return [
        Listed(resource, first, Part.FIRST),
        *(Listed(resource, chunk, Part.MIDDLE) for chunk in middle),
        Listed(resource, last, Part.LAST),
    ]


def test_an_object_under_a_new_name_keeps_its_entity() -> None:
    """A workload that moved: its object has another name, its endpoint the same key."""
    kind = CALICO["WorkloadEndpoint"]
    cluster = Cluster(node="node-1")
    old, new = (
        obj(
            kind,
            f"node--{node}-k8s-web-eth0",
            version,
            spec={
                "orchestrator": "k8s", "node": f"node-{node}", "pod": "web", "endpoint": "eth0",
                "ipNetworks": [f"10.244.0.{node}/32"], "interfaceName": "cali1",
            },
        )
        for node, version in ((1, 1), (2, 2))
    )  # fmt: skip
    cluster.take(Listed(kind, [old]), Listed(kind, [new]))

    moved = cluster.workload(f"{new['metadata'].get('namespace', 'default')}/web")
    assert moved is not None
    assert "node-2" == moved.node


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Batch], dict[tuple[str, str, str], Object]]:
    """Return batches as a server may send them, and the objects that are there at the end."""
    there: dict[tuple[str, str, str], Object] = {}
    batches: list[Batch] = []
    for version in range(1, draw(st.integers(1, 25))):
        resource = draw(st.sampled_from(KINDS))
        name = draw(st.sampled_from(NAMES))
        spec = draw(SPECS.get(resource.kind, st.just({})))
        made = obj(resource, name, version, spec=spec)
        identity = object_id(resource, made)
        match draw(st.sampled_from(["change", "delete", "relist", "interrupt", "resume"])):
            case "change":
                there[identity] = made
                batches.append(Changed(resource, made))
            case "delete" if identity in there:
                batches.append(Deleted(resource, there.pop(identity)))
            case "relist":
                # While the watch was broken, one more object came or went unseen.
                if there.pop(identity, None) is None:
                    there[identity] = made
                kept = [each for each in there.values() if each["kind"] == resource.kind]
                if draw(st.booleans()):
                    # A list that broke off; it is begun again.
                    batches.append(Listed(resource, kept[:1], Part.FIRST))
                batches += parts(resource, draw(st.permutations(kept)), draw(st.integers(1, 3)))
            case "interrupt":
                batches.append(Interrupted(resource, "broken"))
            case _:
                batches.append(Resumed(resource))
    return batches, there


@given(histories())
def test_any_history_is_the_cluster_of_what_is_there_now(
    history: tuple[list[Batch], dict[tuple[str, str, str], Object]],
) -> None:
    """Relists, interruptions, bad objects and deletions leave no trace of their own."""
    batches, there = history
    cluster = Cluster(node="node-1")
    cluster.take(*batches)
    found: list[Change] = []
    bad = set()
    for identity, each in there.items():
        made, problems = changes(each)
        if problems:
            bad.add(identity)
        if group_kind(each) not in SETTINGS_KINDS:
            found += made
    configurations = [each for each in there.values() if group_kind(each) in SETTINGS_KINDS]
    if any(each["metadata"]["name"] == "default" for each in configurations):
        found.append(Put(settings(configurations)[0]))

    assert fold(ClusterState(), found) == cluster.state
    assert bad == cluster.view.problems.keys()


@pytest.mark.parametrize("resource", WATCHED, ids=lambda it: f"{it.kind}.{it.group}")
def test_every_watched_kind_has_a_meaning(resource: Resource) -> None:
    """An empty object of it is taken or named, and never stops the view."""
    assert RESOURCES[resource.api_version, resource.kind] is resource
    view = ClusterView("node-1", WATCHED)

    view.absorb(Listed(resource, [obj(resource, "x", spec=None)]))
    view.absorb(Deleted(resource, obj(resource, "x", 2)))

    assert {} == view.problems


def test_addresses_of_an_attachment_replace_those_of_the_api() -> None:
    """Also when the pod is known before it is attached."""
    cluster = Cluster()
    cluster.take(Changed(POD, pod(ip="10.244.0.1")))

    cluster.fold(cluster.view.attach(ATTACHED))

    found = cluster.workload("shop/web")
    assert found is not None
    assert (Address.parse("10.244.0.9"),) == found.addresses
    assert ATTACHED.interface == found.interface
