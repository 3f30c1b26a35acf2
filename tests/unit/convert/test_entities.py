"""Objects other than policies become entities, under keys that a deletion finds again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.convert.entities import changes, conversion, entities, keys, removals
from chita.convert.fabric import fabric_node_object, settings
from chita.errors import ConvertError
from chita.model.cluster import ClusterState, Entity, Put, Remove, fold
from chita.model.endpoint import (
    HostEndpoint,
    NamedPort,
    NetworkSet,
    Profile,
    WorkloadEndpoint,
    interface_name,
)
from chita.model.ippool import Block, Encap, IPPool, PoolUse
from chita.model.location import Location
from chita.model.net import SCTP, TCP, UDP, Address, Cidr
from chita.model.node import (
    Candidate,
    CandidateKind,
    FabricNode,
    HostInterface,
    Nat,
    Node,
    TunnelEnd,
)
from chita.model.policy import BUILT_IN_TIERS, Action, Tier
from chita.model.selector import all_, parse_selector
from chita.model.service import EndpointSlice, Service, ServicePort, SliceEndpoint
from chita.model.settings import (
    Encryption,
    FlowLogGroups,
    HostAction,
    Period,
    Rate,
    Settings,
)


def obj(api: str, kind: str, /, name: str = "n", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def v3(kind: str, /, name: str = "n", **fields: Any) -> dict[str, Any]:
    return obj("projectcalico.org/v3", kind, name, **fields)


def one(made: dict[str, Any]) -> Entity:
    (entity,) = entities(made)
    return entity


def pod(**fields: Any) -> dict[str, Any]:
    spec = {"nodeName": "node-1", **fields.pop("spec", {})}
    metadata = {"namespace": "shop", **fields.pop("metadata", {})}
    return obj("v1", "Pod", "web", metadata=metadata, spec=spec, **fields)


def address(text: str) -> Address:
    return Address.parse(text)


def test_pod() -> None:
    made = pod(
        metadata={"labels": {"app": "web", "pcns.team": "evil", "pcsa.x": "y"}},
        spec={
            "serviceAccountName": "front",
            "containers": [
                {"ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}]},
                {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]},
            ],
            "initContainers": [
                {"ports": [{"name": "setup", "containerPort": 1}]},
                {
                    "restartPolicy": "Always",
                    "ports": [{"name": "mesh", "containerPort": 15001, "protocol": "SCTP"}],
                },
            ],
        },
        status={"podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]},
    )
    expected = WorkloadEndpoint(
        namespace="shop",
        name="web",
        node="node-1",
        interface=interface_name("shop", "web"),
        labels={
            "app": "web",
            "projectcalico.org/namespace": "shop",
            "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": "front",
        },
        addresses=(address("10.244.0.5"), address("fd00::5")),
        profiles=("kns.shop", "ksa.shop.front"),
        ports=(
            NamedPort("http", TCP, 8080),
            NamedPort("dns", UDP, 53),
            NamedPort("mesh", SCTP, 15001),
        ),
    )

    assert expected == one(made)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "", id="none-yet"),
        pytest.param({"status": {"podIP": "10.244.0.5"}}, "10.244.0.5", id="status-singular"),
        pytest.param(
            {
                "metadata": {
                    "annotations": {"cni.projectcalico.org/podIPs": "10.244.0.5/32,fd00::5/128"}
                }
            },
            "10.244.0.5 fd00::5",
            id="annotation-plural",
        ),
        pytest.param(
            {"metadata": {"annotations": {"cni.projectcalico.org/podIP": "10.244.0.5/32"}}},
            "10.244.0.5",
            id="annotation-singular",
        ),
        pytest.param(
            {
                "metadata": {
                    "deletionTimestamp": "2026-01-01T00:00:00Z",
                    "annotations": {"cni.projectcalico.org/podIP": ""},
                },
                "status": {"podIP": "10.244.0.5"},
            },
            "",
            id="released",
        ),
    ],
)
def test_pod_addresses(fields: dict[str, Any], expected: str) -> None:
    """The status, else the annotations; none once the CNI plugin has said that they are gone."""
    found = one(pod(**fields))
    assert isinstance(found, WorkloadEndpoint)

    assert expected == " ".join(str(each) for each in found.addresses)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"spec": {"hostNetwork": True}}, id="host-network"),
        pytest.param({"spec": {"nodeName": None}}, id="not-on-a-node"),
        pytest.param({"status": {"phase": "Succeeded"}}, id="succeeded"),
        pytest.param({"status": {"phase": "Failed"}}, id="failed"),
    ],
)
def test_pod_without_network(fields: dict[str, Any]) -> None:
    """It is no endpoint, and stops being one."""
    made = pod(**fields)

    assert entities(made) == []
    assert ([Remove(WorkloadEndpoint, "shop/web")], ()) == changes(made)


def test_long_service_account() -> None:
    """A label holds 63 characters; the profile has the name whatever its length."""
    name = "a" * 64
    found = one(pod(spec={"serviceAccountName": name}))
    assert isinstance(found, WorkloadEndpoint)

    assert "projectcalico.org/serviceaccount" not in found.labels
    assert found.profiles == ("kns.shop", f"ksa.shop.{name}")


def test_namespace_and_service_account() -> None:
    namespace = one(obj("v1", "Namespace", "shop", metadata={"labels": {"team": "a"}}))
    account = one(
        obj("v1", "ServiceAccount", "front", metadata={"namespace": "shop", "labels": {"r": "s"}})
    )
    assert isinstance(namespace, Profile)
    assert isinstance(account, Profile)

    assert namespace.name == "kns.shop"
    assert namespace.labels_to_apply == {"pcns.team": "a", "pcns.projectcalico.org/name": "shop"}
    assert [Action.ALLOW] == [rule.action for rule in namespace.ingress]
    assert [Action.ALLOW] == [rule.action for rule in namespace.egress]
    assert account.name == "ksa.shop.front"
    assert account.labels_to_apply == {"pcsa.r": "s", "pcsa.projectcalico.org/name": "front"}
    assert (account.ingress, account.egress) == ((), ())


@pytest.mark.parametrize(
    ("provider_id", "labels", "expected"),
    [
        pytest.param(
            "aws:///eu-1a/i-1", {"topology.kubernetes.io/region": "eu-1"}, "aws-eu-1", id="aws"
        ),
        pytest.param("gce://p/z/n", {"topology.kubernetes.io/region": "eu"}, "gcp-eu", id="gcp"),
        pytest.param("azure:///s", {"topology.kubernetes.io/region": "w"}, "azure-w", id="azure"),
        pytest.param("metal://x", {"topology.kubernetes.io/region": "r"}, "metal-r", id="others"),
        pytest.param("aws:///a", {}, "site-n", id="no-region"),
        pytest.param("", {"topology.kubernetes.io/region": "r"}, "site-n", id="no-provider"),
        pytest.param("aws:///a", {"chita.dev/location": "office"}, "office", id="label-wins"),
    ],
)
def test_location_of_a_node(provider_id: str, labels: dict[str, str], expected: str) -> None:
    """Unknown nodes never share a location."""
    made = obj("v1", "Node", metadata={"labels": labels}, spec={"providerID": provider_id})
    found = one(made)
    assert isinstance(found, Node)

    assert expected == found.location


def test_node() -> None:
    made = obj(
        "v1",
        "Node",
        metadata={
            "annotations": {
                "chita.dev/mesh-ipv4": "100.64.0.7",
                "chita.dev/mesh-ipv6": "fd00:100:64::7",
            }
        },
        status={
            "addresses": [
                {"type": "InternalIP", "address": "192.0.2.7"},
                {"type": "ExternalIP", "address": "198.51.100.7"},
                {"type": "Hostname", "address": "n"},
            ]
        },
    )
    expected = Node(
        name="n",
        location="site-n",
        internal_addresses=(address("192.0.2.7"),),
        external_addresses=(address("198.51.100.7"),),
        mesh_addresses=(address("100.64.0.7"), address("fd00:100:64::7")),
    )

    assert expected == one(made)


def test_service_and_slice() -> None:
    service = obj(
        "v1",
        "Service",
        metadata={"namespace": "shop"},
        spec={
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1", "fd00:10:96::1"],
            "selector": {"app": "web"},
            "ports": [
                {"port": 80, "targetPort": "http"},
                {"name": "d", "port": 53, "protocol": "UDP"},
            ],
        },
    )
    slice_ = obj(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        metadata={"namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        addressType="IPv4",
        ports=[{"port": 80}, {"port": None}],
        endpoints=[
            {"addresses": ["10.244.0.5"]},
            {"addresses": ["10.244.0.6"], "conditions": {"ready": False}},
        ],
    )

    assert one(service) == Service(
        namespace="shop",
        name="n",
        selector={"app": "web"},
        cluster_addresses=(address("10.96.0.1"), address("fd00:10:96::1")),
        ports=(
            ServicePort(name="", protocol=TCP, port=80, target="http"),
            ServicePort(name="d", protocol=UDP, port=53, target=53),
        ),
    )
    assert one(slice_) == EndpointSlice(
        namespace="shop",
        name="n",
        service="web",
        endpoints=tuple(
            SliceEndpoint(address=address(text), protocol=TCP, port=80)
            for text in ("10.244.0.5", "10.244.0.6")
        ),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, Tier(name="n"), id="defaults"),
        pytest.param(
            {"order": 5, "defaultAction": "Pass"},
            Tier(name="n", order=5, default_action=Action.PASS),
            id="all",
        ),
    ],
)
def test_tier(spec: dict[str, Any], expected: Tier) -> None:
    assert expected == one(v3("Tier", spec=spec))


def test_built_in_tiers_stay_as_they_are() -> None:
    """They may be written down as they are, not otherwise (calico 2.6)."""
    for tier in BUILT_IN_TIERS:
        spec = {"order": tier.order, "defaultAction": str(tier.default_action)}
        assert tier == one(v3("Tier", tier.name, spec=spec))
    with pytest.raises(ConvertError, match=r"spec\.defaultAction"):
        entities(v3("Tier", "default", spec={"defaultAction": "Pass"}))


def test_network_sets() -> None:
    labels = {"a": "b", "pcns.team": "evil"}
    nets = {"nets": ["192.0.2.1", "2001:db8::/32"]}
    own = v3("NetworkSet", metadata={"namespace": "shop", "labels": labels}, spec=nets)
    world = v3("GlobalNetworkSet", metadata={"labels": {"a": "b"}}, spec=nets)
    found = (Cidr.parse("192.0.2.1/32"), Cidr.parse("2001:db8::/32"))

    assert one(own) == NetworkSet(
        namespace="shop",
        name="n",
        labels={"a": "b", "projectcalico.org/namespace": "shop"},
        nets=found,
        profiles=("kns.shop",),
    )
    assert one(world) == NetworkSet(namespace="", name="n", labels={"a": "b"}, nets=found)
    assert [(NetworkSet, "/n")] == keys(world)


def test_profile() -> None:
    spec = {"labelsToApply": {"a": "b"}, "ingress": [{"action": "Deny"}]}
    found = one(v3("Profile", spec=spec))
    assert isinstance(found, Profile)

    assert ({"a": "b"}, (), 1) == (found.labels_to_apply, found.egress, len(found.ingress))
    with pytest.raises(ConvertError, match=r"metadata\.name"):
        entities(v3("Profile", "kns.shop"))


def test_endpoints() -> None:
    ports = [{"name": "ssh", "protocol": "TCP", "port": 22}]
    host = v3(
        "HostEndpoint",
        metadata={"labels": {"a": "b"}},
        spec={"node": "n1", "interfaceName": "*", "expectedIPs": ["192.0.2.1"], "ports": ports},
    )
    workload = v3(
        "WorkloadEndpoint",
        metadata={"namespace": "vms"},
        spec={
            "node": "n1",
            "workload": "vm-1",
            "orchestrator": "openstack",
            "ipNetworks": ["10.244.0.9/32"],
            "profiles": ["kns.vms"],
        },
    )

    assert one(host) == HostEndpoint(
        name="n",
        node="n1",
        interface="*",
        labels={"a": "b"},
        expected_addresses=(address("192.0.2.1"),),
        ports=(NamedPort("ssh", TCP, 22),),
    )
    assert one(workload) == WorkloadEndpoint(
        namespace="vms",
        name="vm-1",
        node="n1",
        interface=interface_name("vms", "vm-1"),
        labels={
            "projectcalico.org/namespace": "vms",
            "projectcalico.org/orchestrator": "openstack",
        },
        addresses=(address("10.244.0.9"),),
        profiles=("kns.vms",),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"cidr": "10.244.0.0/16"}, {}, id="defaults"),
        pytest.param(
            {"cidr": "10.244.0.0/16", "vxlanMode": "CrossSubnet"},
            {"encap": Encap.CROSS_SUBNET},
            id="vxlan",
        ),
        pytest.param(
            {"cidr": "10.244.0.0/16", "ipipMode": "Always"},
            {"encap": Encap.ALWAYS},
            id="ipip-is-vxlan",
        ),
        pytest.param(
            {"cidr": "fd00::/56"}, {"cidr": Cidr.parse("fd00::/56"), "block_size": 122}, id="v6"
        ),
        pytest.param(
            {"cidr": "10.244.0.0/27", "disabled": True},
            {"cidr": Cidr.parse("10.244.0.0/27"), "disabled": True, "block_size": 26},
            id="disabled-and-smaller-than-a-block",
        ),
        pytest.param(
            {
                "cidr": "10.244.0.0/16",
                "blockSize": 28,
                "natOutgoing": True,
                "disabled": True,
                "assignmentMode": "Manual",
                "nodeSelector": "zone == 'a'",
                "namespaceSelector": "t == 'u'",
                "allowedUses": ["LoadBalancer"],
            },
            {
                "block_size": 28,
                "nat_outgoing": True,
                "disabled": True,
                "manual": True,
                "node_selector": parse_selector("zone == 'a'"),
                "namespace_selector": parse_selector("t == 'u'"),
                "allowed_uses": frozenset({PoolUse.LOAD_BALANCER}),
            },
            id="everything",
        ),
    ],
)
def test_pool(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    default: dict[str, Any] = {
        "name": "n",
        "cidr": Cidr.parse("10.244.0.0/16"),
        "block_size": 26,
        "node_selector": all_(),
    }

    assert IPPool(**{**default, **expected}) == one(v3("IPPool", spec=spec))


def test_block() -> None:
    """What is allocated to another node than the owner is borrowed."""
    spec = {
        "cidr": "10.244.0.0/30",
        "affinity": "host:n1",
        "allocations": [None, 0, 1, 2],
        "unallocated": [0],
        "attributes": [
            {"handle_id": "a", "secondary": {"node": "n1"}},
            {"handle_id": "b", "secondary": {"node": "n2"}},
            {"handle_id": "c"},
        ],
    }

    assert one(v3("IPAMBlock", "10-244-0-0-30", spec=spec)) == Block(
        cidr=Cidr.parse("10.244.0.0/30"), node="n1", borrowed={address("10.244.0.2"): "n2"}
    )
    assert [(Block, "10.244.0.0/30")] == keys(v3("IPAMBlock", "10-244-0-0-30", spec=spec))
    assert entities(v3("IPAMBlock", spec={**spec, "deleted": True})) == []


def test_location() -> None:
    spec = {"encapsulation": "Always", "wireMTU": 1450, "peers": ["aws-x"]}
    made = obj("chita.dev/v1alpha1", "Location", spec=spec)

    expected = Location(name="n", encap=Encap.ALWAYS, wire_mtu_bytes=1450, peers=("aws-x",))
    assert expected == one(made)


ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: Address(4, value)),
    st.integers(0, 2**128 - 1).map(lambda value: Address(6, value)),
)


@given(
    st.lists(ADDRESSES, max_size=3),
    st.lists(ADDRESSES, max_size=3),
    st.integers(0, 65535),
    st.integers(576, 65535),
)
def test_fabric_node_round_trip(
    own: list[Address], endpoints: list[Address], port: int, mtu: int
) -> None:
    """What a node writes of itself is what the others read."""
    node = FabricNode(
        name="n",
        location="here",
        interfaces=tuple(
            HostInterface(address=each, subnet=Cidr(each.family, each.value, 24)) for each in own
        ),
        endpoints=tuple(endpoints),
        candidates=tuple([Candidate(CandidateKind.MAPPED, each, mtu) for each in own]),
        nat=Nat.ENDPOINT_INDEPENDENT,
        udp_passes=False,
        tcp_relay_port=port,
        wireguard_key="A" * 43 + "=",
        wireguard_port=port,
        wireguard_preshared="0123abcd",
        wireguard_previous=TunnelEnd(
            epoch=0, public_key="B" * 43 + "=", port=port, preshared="4567cdef"
        ),
        vtep_mac="02:00:5e:10:00:01",
        wire_mtu_bytes=mtu,
        gateway_weight=3,
    )

    assert [node] == entities(fabric_node_object(node))


def test_settings_of_both_kinds() -> None:
    """FabricConfiguration wins; what is not said is the default."""
    felix = v3(
        "FelixConfiguration",
        "default",
        spec={
            "vxlanPort": 4790,
            "vxlanVNI": 7,
            "defaultEndpointToHostAction": "Drop",
            "bpfEnabled": True,
            "logActionRateLimit": "100/hour",
            "logActionRateLimitBurst": 7,
        },
    )
    fabric = obj(
        "chita.dev/v1alpha1",
        "FabricConfiguration",
        "default",
        spec={
            "vxlanPort": 4791,
            "encryption": "All",
            "keepaliveSeconds": 9,
            "activeGateways": 3,
            "fullMeshNodes": 50,
            "meshCIDRs": ["100.65.0.0/16"],
            "flowLogGroups": {"egress": 7},
        },
    )
    other = v3("FelixConfiguration", "node.n1", spec={"vxlanPort": 1})
    expected = Settings(
        encryption=Encryption.ALL,
        keepalive_s=9,
        active_gateways=3,
        full_mesh_nodes=50,
        vxlan_port=4791,
        vxlan_vni=7,
        mesh_cidrs=(Cidr.parse("100.65.0.0/16"),),
        endpoint_to_host=HostAction.DROP,
        log_rate=Rate(100, Period.HOUR),
        log_burst=7,
        flow_log_groups=FlowLogGroups(ingress=1, egress=7),
    )

    assert (expected, ()) == settings([fabric, other, felix])
    assert entities(other) == []


def test_bad_setting_leaves_the_others() -> None:
    """Each field counts for itself; one about what is let through takes the strict side."""
    spec = {"vxlanPort": 0, "logPrefix": "x", "defaultEndpointToHostAction": "drop"}
    found, problems = settings([v3("FelixConfiguration", "default", spec=spec)])

    assert Settings(log_prefix="x", endpoint_to_host=HostAction.DROP) == found
    assert ["spec.vxlanPort", "spec.defaultEndpointToHostAction"] == [p.field for p in problems]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        pytest.param({"logActionRateLimit": "10"}, "logActionRateLimit", id="no-period"),
        pytest.param({"logActionRateLimit": "0/day"}, "logActionRateLimit", id="never"),
        pytest.param({"logActionRateLimit": "1/week"}, "logActionRateLimit", id="week"),
        pytest.param({"logActionRateLimitBurst": 10000}, "logActionRateLimitBurst", id="burst"),
        pytest.param({"flowLogGroups": {"ingress": 0}}, "flowLogGroups.ingress", id="group"),
        pytest.param({"flowLogGroups": {"both": 1}}, "flowLogGroups.both", id="direction"),
    ],
)
def test_bad_settings_of_logs(spec: dict[str, Any], field: str) -> None:
    found, problems = settings(
        [obj("chita.dev/v1alpha1", "FabricConfiguration", "default", spec=spec)]
    )

    assert Settings() == found
    assert [f"spec.{field}"] == [problem.field for problem in problems]


def test_a_burst_of_zero_is_the_kernels_default() -> None:
    spec = {"logActionRateLimitBurst": 0}
    found, _ = settings([v3("FelixConfiguration", "default", spec=spec)])

    assert found.log_burst == 5


@pytest.mark.parametrize(
    ("made", "field"),
    [
        pytest.param(pod(status={"podIP": "10.244.0.0/24"}), "status.podIP", id="network"),
        pytest.param(pod(metadata={"labels": {"a": True}}), "metadata.labels[a]", id="label"),
        pytest.param(pod(spec={"containers": {}}), "spec.containers", id="containers"),
        pytest.param(v3("IPPool", spec={}), "spec.cidr", id="pool-without-cidr"),
        pytest.param(v3("IPPool", spec={"cidr": "10.244.0.1/16"}), "spec.cidr", id="host-bits"),
        pytest.param(
            v3("IPPool", spec={"cidr": "10.244.0.0/28"}), "spec.blockSize", id="pool-small"
        ),
        pytest.param(
            v3("HostEndpoint", spec={"node": "n"}), "spec.interfaceName", id="host-endpoint"
        ),
        pytest.param(v3("NetworkSet", spec={"nets": ["x"]}), "spec.nets[0]", id="net"),
        pytest.param(v3("Tier", metadata={"name": None}), "metadata.name", id="no-name"),
        pytest.param(
            v3("WorkloadEndpoint", spec={"node": "n", "ipNetworks": ["10.0.0.0/8"]}),
            "spec.ipNetworks[0]",
            id="workload-network",
        ),
    ],
)
def test_bad_object_is_absent(made: dict[str, Any], field: str) -> None:
    """It is reported by field, and whatever stood under its key goes."""
    found = conversion(made)
    change, problems = changes(made)

    assert found.entities == ()
    assert [field] == [problem.field for problem in found.problems]
    assert found.problems == problems
    assert removals(made) == change


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(obj("v1", "Secret"), id="kind"),
        pytest.param(obj("apps/v1", "Deployment"), id="group"),
        pytest.param({"kind": 5, "apiVersion": 7}, id="no-object"),
        pytest.param({}, id="nothing"),
    ],
)
def test_unknown_kind(made: dict[str, Any]) -> None:
    assert entities(made) == []
    assert ([], ()) == changes(made)


def test_changes_and_removals() -> None:
    """An object that is there, changes and goes leaves the state as it was."""
    made = pod(status={"podIP": "10.244.0.5"})
    change, _ = changes(made)
    state = fold(ClusterState(), change)

    assert [Put(one(made))] == change
    assert ["shop/web"] == list(state.workloads)
    assert fold(state, removals(made)).workloads == {}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "podSelector", "ingress", "egress", "nodeName", "containers", "ports", "cidr", "selector",
        "types", "order", "nets", "node", "interfaceName", "subject", "tier", "priority",
        "allocations", "attributes", "clusterIPs", "providerID", "spec", "labels",
    ]
)  # fmt: skip
KINDS = st.sampled_from(
    [
        ("v1", "Pod"), ("v1", "Node"), ("v1", "Service"), ("v1", "Namespace"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        *[
            ("projectcalico.org/v3", kind)
            for kind in (
                "NetworkPolicy", "GlobalNetworkPolicy", "Tier", "NetworkSet", "HostEndpoint",
                "IPPool", "IPAMBlock", "Profile", "WorkloadEndpoint", "FelixConfiguration",
                "StagedKubernetesNetworkPolicy",
            )
        ],
        ("discovery.k8s.io/v1", "EndpointSlice"), ("chita.dev/v1alpha1", "FabricNode"),
    ]
)  # fmt: skip


@given(KINDS, st.dictionaries(NAMES, JUNK, max_size=5), JUNK, JUNK)
def test_junk_never_breaks_conversion(
    kind: tuple[str, str], spec: dict[str, Any], status: Any, labels: Any
) -> None:
    """Whatever arrives is an entity or a problem, never a crash."""
    made = {
        "apiVersion": kind[0],
        "kind": kind[1],
        "metadata": {"name": "n", "namespace": "x", "labels": labels},
        "spec": spec,
        "status": status,
    }
    found = conversion(made)
    change, _ = changes(made)

    assert all(isinstance(each, Put | Remove) for each in change)
    assert {(type(each), each.key) for each in found.entities} <= set(keys(made))
