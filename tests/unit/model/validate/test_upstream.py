"""Upstream's own tables: what it accepts and refuses, row by row.

From ``libcalico-go/lib/validator/v3/{validator,crd_validation}_test.go`` and the tests of the
CRDs' rules against a kube-apiserver (``BGPPeer``, ``BGPConfiguration``, ``FelixConfiguration``,
``KubeControllersConfiguration``), of v3.30 to v3.34. A row that is another here is in
docs/design/validation.md.
"""

from __future__ import annotations

from typing import Any

import pytest

from chita.model.validate.objects import validate

Raw = dict[str, Any]
V3 = "projectcalico.org/v3"
KEY = "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY="


def obj(kind: str, spec: Raw, **parts: Any) -> Raw:
    metadata = {"name": "default", **({"namespace": "shop"} if kind in NAMESPACED else {})}
    return {"apiVersion": V3, "kind": kind, "metadata": metadata, "spec": spec, **parts}


NAMESPACED = {"NetworkPolicy", "StagedNetworkPolicy", "NetworkSet", "WorkloadEndpoint"}


def fields(kind: str, spec: Raw, **parts: Any) -> list[str]:
    return [problem.field for problem in validate(obj(kind, spec, **parts))]


def _ids(rows: list[Any]) -> list[str]:
    return [f"{index}-{next(iter(row), 'empty')}" for index, row in enumerate(rows)]


FELIX_VALID: list[Raw] = [
    {"iptablesBackend": "Legacy"},
    {"iptablesBackend": "NFT"},
    {"iptablesBackend": "Auto"},
    {"defaultEndpointToHostAction": "Drop"},
    {"iptablesFilterAllowAction": "Accept"},
    {"iptablesMangleAllowAction": "Return"},
    {"iptablesFilterDenyAction": "Drop"},
    {"iptablesFilterDenyAction": "Reject"},
    {
        "kubeNodePortRanges": [
            "3000:4000",
            "5000:6000",
            "7000:8000",
            "8000:9000",
            "10000:11000",
            "12000:13000",
            15000,
        ]
    },
    {"externalNodesList": ["1.1.1.1", "1.1.1.2/32", "1.1.3.0/23"]},
    {"openstackRegion": ""},
    {"openstackRegion": "foo"},
    {"logSeverityScreen": "Fatal"},
    {"logSeverityScreen": "Warning"},
    {"logSeverityFile": "Debug"},
    {"logSeveritySys": "Info"},
    {"iptablesNATOutgoingInterfaceFilter": "cali-123"},
    {"bpfLogLevel": "Info"},
    {"bpfLogLevel": "Debug"},
    {"bpfLogLevel": "Off"},
    {"bpfExternalServiceMode": "Tunnel"},
    {"bpfExternalServiceMode": "DSR"},
    {"bpfExtToServiceConnmark": 0},
    {"bpfExtToServiceConnmark": 0xFFFFFFFF},
    {"bpfDataIfacePattern": "eth.*"},
    {"routeTableRange": {"min": 1, "max": 250}},
    {"routeTableRange": {"min": 8, "max": 8}},
    {"routeTableRanges": [{"min": 1, "max": 10000}]},
    {"routeTableRanges": [{"min": 8, "max": 8}]},
    {"routeTableRanges": [{"min": 8, "max": 8}, {"min": 7, "max": 7}]},
    {"mtuIfacePattern": "eth.*"},
    {"mtuIfacePattern": "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)"},
    {"healthTimeoutOverrides": [{"name": "InternalDataplaneMainLoop", "timeout": "0s"}]},
    {"awsSrcDstCheck": "DoNothing"},
    {"awsSrcDstCheck": "Enable"},
    {"awsSrcDstCheck": "Disable"},
    {"natOutgoingAddress": "1.2.3.4"},
    {"prometheusMetricsHost": "localhost"},
    {"prometheusMetricsHost": "10.0.0.1"},
    {"prometheusMetricsHost": "fe80::ea7a:70fa:cf74:25d5"},
    {"deviceRouteSourceAddress": "1.2.3.4"},
    {"deviceRouteSourceAddressIPv6": "aabb:aabb::ffff"},
    {"wireguardListeningPort": 12345},
    {"wireguardRoutingRulePriority": 12345},
    {"wireguardInterfaceName": "wg0"},
    {"serviceLoopPrevention": "Drop"},
    {"serviceLoopPrevention": "Reject"},
    {"serviceLoopPrevention": "Disabled"},
    {"chainInsertMode": "append"},
    {"routeSource": "workloadips"},
    {"featureDetectOverride": "SNATFullyRandom=true,MASQFullyRandom=false,RestoreSupportsLock="},
    {"featureGates": "BPFConnectTimeLoadBalancingWorkaround=enabled,XyZ=false"},
    {"failsafeInboundHostPorts": [{"protocol": "UDP", "port": 0, "net": "10.0.0.0/8"}]},
    {"failsafeOutboundHostPorts": []},
    {"bpfConntrackTimeouts": {"tcpEstablished": "Auto", "udpTimeout": "1m30s"}},
    {"bpfLogFilters": {"eth0": "tcp"}},
    {"istioDSCPMark": 23},
    {"logActionRateLimit": "10/second", "logActionRateLimitBurst": 5},
    {"nodeSelector": "has(x)"},
    {"natPortRange": "32768:65535"},
]
FELIX_REFUSED: list[Raw] = [
    {"iptablesBackend": "badVal"},
    {"defaultEndpointToHostAction": "drop"},
    {"iptablesMangleAllowAction": "Drop"},
    {"kubeNodePortRanges": ["1:2", "3:4", "5:6", "7:8", "9:10", "11:12", "13:14", "15:16"]},
    {"kubeNodePortRanges": ["testport"]},
    {"externalNodesList": ["foobar", "1.1.1.1"]},
    {"externalNodesList": ["abcd::1"]},
    {"externalNodesList": ["abef::2/128"]},
    {"openstackRegion": "FOO"},
    {"openstackRegion": "my-region-has-a-very-long-and-extremely-interesting-name"},
    {"logSeverityScreen": "badVal"},
    {"logSeverityFile": "badVal"},
    {"logSeveritySys": "Critical"},
    {"iptablesNATOutgoingInterfaceFilter": "cali@123"},
    {"bpfLogLevel": "badVal"},
    {"bpfExternalServiceMode": "Foo"},
    {"bpfExtToServiceConnmark": -1},
    {"bpfExtToServiceConnmark": 0x100000000},
    {"bpfDataIfacePattern": "*"},
    {"routeTableRange": {"min": 0, "max": 250}},
    {"routeTableRange": {"min": -5, "max": 250}},
    {"routeTableRange": {"min": 50, "max": 45}},
    {"routeTableRange": {"min": 1, "max": 253}},
    {"routeTableRanges": [{"min": 0, "max": 250}]},
    {"routeTableRanges": [{"min": 50, "max": 45}]},
    {"routeTableRanges": [{"min": 1, "max": 0xF00000000}]},
    {"routeTableRanges": [{"min": 1, "max": 0x10000}]},
    {"routeTableRanges": [{"min": 1, "max": 2}, {"min": 3, "max": 4}, {"min": 5, "max": 0x10000}]},
    {"routeTableRange": {"min": 1, "max": 9}, "routeTableRanges": [{"min": 1, "max": 9}]},
    {"mtuIfacePattern": "*"},
    {"healthTimeoutOverrides": [{"name": "Valid", "timeout": "-1s"}]},
    {"healthTimeoutOverrides": [{"name": "%", "timeout": "10s"}]},
    {"healthTimeoutOverrides": [{"name": "", "timeout": "10s"}]},
    {"awsSrcDstCheck": "enable"},
    {"natOutgoingAddress": "999.999.999.999"},
    {"natOutgoingAddress": "1.2.3.4/32"},
    {"natOutgoingAddress": "aabb:aabb::ffff"},
    {"prometheusMetricsHost": "localhost#"},
    {"prometheusMetricsHost": "0: 1::1"},
    {"deviceRouteSourceAddress": "aabb:aabb::ffff"},
    {"deviceRouteSourceAddressIPv6": "1.2.3.4"},
    {"deviceRouteSourceAddressIPv6": "aabb:aabb::ffff/128"},
    {"wireguardListeningPort": 99999},
    {"wireguardRoutingRulePriority": 99999},
    {"wireguardInterfaceName": "wg&0"},
    {"serviceLoopPrevention": "Wibbly"},
    {"failsafeInboundHostPorts": [{"protocol": "jolly-UDP", "port": 0}]},
    {"routeRefreshInterval": "90"},
    {"logActionRateLimit": "0/second"},
    {"logActionRateLimitBurst": 10000},
    {"nodeSelector": "a="},
    {"interfacePrefx": "cali"},
]
BOUNDS = [
    ("debugPort", 0, 65535),
    ("bpfExtToServiceConnmark", 0, 4294967295),
    ("bpfKubeProxyHealthzPort", 0, 65535),
    ("ipv4NormalRoutePriority", 1, 2147483646),
    ("ipv4ElevatedRoutePriority", 1, 2147483646),
    ("ipv6NormalRoutePriority", 1, 2147483646),
    ("ipv6ElevatedRoutePriority", 1, 2147483646),
    ("wireguardListeningPort", 1, 65535),
    ("wireguardListeningPortV6", 1, 65535),
    ("wireguardRoutingRulePriority", 1, 32765),
    ("bpfMaglevMaxEndpointsPerService", 1, 3000),
    ("bpfMaglevMaxServices", 1, 3000),
]


@pytest.mark.parametrize("spec", FELIX_VALID, ids=_ids(FELIX_VALID))
def test_felix_accepts(spec: Raw) -> None:
    assert [] == validate(obj("FelixConfiguration", spec))


@pytest.mark.parametrize("spec", FELIX_REFUSED, ids=_ids(FELIX_REFUSED))
def test_felix_refuses(spec: Raw) -> None:
    found = fields("FelixConfiguration", spec)

    assert found
    assert all(field.removeprefix("spec.").split("[")[0].split(".")[0] in spec for field in found)


@pytest.mark.parametrize(("field", "low", "high"), BOUNDS, ids=[field for field, *_ in BOUNDS])
def test_felix_bounds(field: str, low: int, high: int) -> None:
    """Those of TestFelixConfiguration_NumericBounds."""
    found = [
        fields("FelixConfiguration", {field: value}) for value in (low - 1, low, high, high + 1)
    ]

    assert [[f"spec.{field}"], [], [], [f"spec.{field}"]] == found


BGP_COMMUNITY = {"name": "community-test", "value": "100:520"}
ADVERTISED = [{"cidr": "192.168.10.0/28", "communities": ["100:100"]}]


def advertised(*communities: str, cidr: str = "2001:4860::/128") -> list[Raw]:
    return [{"cidr": cidr, "communities": list(communities)}]


BGP_VALID: list[Raw] = [
    {"logSeverityScreen": "Info"},
    {"serviceClusterIPs": [{"cidr": "1.2.3.4"}]},
    {"serviceExternalIPs": [{"cidr": "8.8.8.8"}]},
    {"serviceClusterIPs": [{"cidr": "fdf5:1234::102:304"}]},
    {"serviceLoadBalancerIPs": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.1.0.0/24"}]},
    {
        "nodeToNodeMeshEnabled": True,
        "nodeMeshPassword": {"secretKeyRef": {"name": "s", "key": "k"}},
    },
    {"nodeToNodeMeshEnabled": True, "nodeMeshPassword": {}},
    {"nodeToNodeMeshEnabled": True, "nodeMeshMaxRestartTime": "200s"},
    {"ignoredInterfaces": ["valid_iface*", "interface_name"]},
    {"communities": [BGP_COMMUNITY], "prefixAdvertisements": ADVERTISED},
    {"communities": [BGP_COMMUNITY | {"value": "100:520:56"}], "prefixAdvertisements": ADVERTISED},
    {"prefixAdvertisements": advertised("100:5964:50", cidr="192.168.10.0/28")},
    {"prefixAdvertisements": advertised("100:5964", "200:594")},
    {"prefixAdvertisements": advertised("100:5964:1147483647", "100:5223")},
    {"communities": [BGP_COMMUNITY], "prefixAdvertisements": advertised("community-test", "1:2")},
    {"asNumber": 4200000001},
    {"asNumber": "64512.10"},
    {"programClusterRoutes": "EnabledNoEncapOnly"},
    {"bindMode": "NodeIP", "listenPort": 178},
]
BGP_REFUSED: list[Raw] = [
    {"logSeverityScreen": "info"},
    {"logSeverityScreen": "INFO"},
    {"logSeverityScreen": "invalidLvl"},
    {"serviceClusterIPs": [{"cidr": "x.x.x.x"}]},
    {"serviceExternalIPs": [{"cidr": "y.y.y.y"}]},
    {"nodeMeshPassword": {}, "nodeToNodeMeshEnabled": False},
    {"nodeMeshMaxRestartTime": "120s", "nodeToNodeMeshEnabled": False},
    {"ignoredInterfaces": ["*"]},
    {"communities": [BGP_COMMUNITY]},
    {"communities": [{"value": "536:785"}], "prefixAdvertisements": ADVERTISED},
    {"communities": [{"name": "community-test"}], "prefixAdvertisements": ADVERTISED},
    {"communities": [BGP_COMMUNITY | {"value": "100"}], "prefixAdvertisements": ADVERTISED},
    {"communities": [BGP_COMMUNITY | {"value": "ab-n"}], "prefixAdvertisements": ADVERTISED},
    {
        "communities": [BGP_COMMUNITY | {"value": "65536:999999"}],
        "prefixAdvertisements": ADVERTISED,
    },
    {
        "communities": [BGP_COMMUNITY | {"value": "4147483647:999999"}],
        "prefixAdvertisements": ADVERTISED,
    },
    {"prefixAdvertisements": [{"communities": ["100:5964"]}]},
    {"prefixAdvertisements": [{"cidr": "192.168.10.0/28"}]},
    {"prefixAdvertisements": advertised("100:1147483647")},
    {"prefixAdvertisements": advertised("100:100:5147483647")},
    {"prefixAdvertisements": advertised("non-existent-community")},
    {"asNumber": 4294967296},
    {"asNumber": "1.65536"},
    {"listenPort": 0},
    {"ipv4NormalRoutePriority": 0},
]


@pytest.mark.parametrize("spec", BGP_VALID, ids=_ids(BGP_VALID))
def test_bgp_configuration_accepts(spec: Raw) -> None:
    assert [] == validate(obj("BGPConfiguration", spec))


@pytest.mark.parametrize("spec", BGP_REFUSED, ids=_ids(BGP_REFUSED))
def test_bgp_configuration_refuses(spec: Raw) -> None:
    found = fields("BGPConfiguration", spec)

    assert [f"spec.{next(iter(spec))}"] == [field.split("[")[0] for field in found]


PEER_VALID: list[Raw] = [
    {},
    {"peerIP": "1.2.3.4"},
    {"nodeSelector": "has(mylabel)", "peerSelector": "has(mylabel)"},
    {"peerIP": "9.9.9.9:4444", "reachableBy": "1.2.3.4"},
    {"peerIP": "[aabb::ffff]:4444", "reachableBy": "aabb:aabb::ffff"},
    {"peerIP": "1.2.3.4", "password": {"secretKeyRef": {"name": "p", "key": "my-peering"}}},
    {"peerIP": "192.168.1.1:500"},
    {"peerIP": "[9000::]:500"},
    {"peerIP": "fd00::1"},
    {"peerIP": "fd00::1:179"},
    {"sourceAddress": "UseNodeIP"},
    {"sourceAddress": "None"},
    {"maxRestartTime": "10s"},
    {"localWorkloadSelector": "color == 'red'", "asNumber": 65401},
    {"node": "node1", "peerIP": "10.0.0.1"},
    {"nextHopMode": "Auto"},
    {"keepOriginalNextHop": True, "peerIP": "10.0.0.1"},
    {"keepOriginalNextHop": False, "nextHopMode": "Keep"},
    {"peerIP": "10.0.0.1", "asNumber": 4200000001},
    {"peerSelector": "all()", "asNumber": 0},
    {"filters": ["first-bgp-filter"], "ttlSecurity": 1, "reversePeering": "Manual"},
]
PEER_REFUSED: list[Raw] = [
    {"peerIP": "999.999.999.999"},
    {"peerIP": "xyz:::"},
    {"nodeSelector": "has(mylabel)", "node": "my-node"},
    {"peerSelector": "has(mylabel)", "peerIP": "1.2.3.4"},
    {"asNumber": 61234, "peerSelector": "has(mylabel)"},
    {"asNumber": 4294967296, "peerIP": "1.2.3.4"},
    {"reachableBy": "100.200.0.0"},
    {"reachableBy": "999.999.999.999", "peerIP": "9.9.9.9:4444"},
    {"reachableBy": "aabb:aabb::ffff", "peerIP": "1.2.3.4"},
    {"reachableBy": "aabb:aabb::ffff", "peerIP": "9.9.9.9:4444"},
    {"reachableBy": "1.2.3.4", "peerIP": "aabb:aabb::ffff"},
    {"reachableBy": "1.2.3.4", "peerIP": "[aabb::ffff]:4444"},
    {"nodeSelector": "kubernetes.io/hostname: == 'casey-crc-kadm-node-4'"},
    *[
        {"peerIP": text}
        for text in (
            "[192.168.0.0]:98956",
            "192.168.0.0:65536",
            "192.168.0.0:0",
            "192.168.0.330:170",
            "[9000::]:98956",
            "192.168.0.0:",
            "[9000::]:",
            "[9000::]:65536",
            "[9000::]:0",
            "[9000::FFFFF]:170",
            ":8552",
            "[]:8552",
            "not-an-ip",
            "10.0.0.1:99999",
        )
    ],
    {"sourceAddress": "rubbish"},
    {"nextHopMode": "Invalid"},
    {"nextHopMode": "Self", "keepOriginalNextHop": True},
    {"localWorkloadSelector": "all()", "asNumber": 64512, "peerIP": "10.0.0.1"},
    {"localWorkloadSelector": "all()", "asNumber": 64512, "peerSelector": ""}
    | {"peerIP": "10.0.0.1"},
]


@pytest.mark.parametrize("spec", PEER_VALID, ids=_ids(PEER_VALID))
def test_bgp_peer_accepts(spec: Raw) -> None:
    assert [] == validate(obj("BGPPeer", spec))


@pytest.mark.parametrize("spec", PEER_REFUSED, ids=_ids(PEER_REFUSED))
def test_bgp_peer_refuses(spec: Raw) -> None:
    assert [f"spec.{next(iter(spec))}"] == fields("BGPPeer", spec)


def test_peers_of_workloads_need_a_number_and_no_other_peers() -> None:
    """The two rules of localWorkloadSelector whose field is another one's."""
    spec = {"localWorkloadSelector": "all()", "peerSelector": "all()"}

    assert ["spec.asNumber"] == fields("BGPPeer", {"localWorkloadSelector": "all()"})
    assert ["spec.localWorkloadSelector", "spec.asNumber"] == fields("BGPPeer", spec)


ACCEPT: Raw = {"action": "Accept"}
IN_TEN: Raw = {"cidr": "10.0.0.0/8", "matchOperator": "In", "action": "Accept"}


@pytest.mark.parametrize(
    ("field", "rule", "expected"),
    [
        pytest.param("exportV4", ACCEPT | {"cidr": "10.0.0.0/8"}, "matchOperator", id="v4-cidr"),
        pytest.param("exportV4", ACCEPT | {"matchOperator": "In"}, "cidr", id="v4-operator"),
        pytest.param("exportV4", ACCEPT | {"prefixLength": {"min": 16}}, "prefixLength", id="len"),
        pytest.param("exportV4", IN_TEN, None, id="v4-both"),
        pytest.param("exportV6", ACCEPT | {"cidr": "fd00::/48"}, "matchOperator", id="v6-cidr"),
        pytest.param("exportV6", ACCEPT | {"matchOperator": "Equal"}, "cidr", id="v6-operator"),
        pytest.param(
            "exportV6", {"cidr": "fd00::/48", "matchOperator": "Equal", **ACCEPT}, None, id="v6"
        ),
        pytest.param("importV4", {**IN_TEN, "cidr": "fd00::/8"}, "cidr", id="family"),
        pytest.param("importV4", {**IN_TEN, "cidr": "10.0.0.1/8"}, "cidr", id="host-bits"),
        pytest.param(
            "importV4", IN_TEN | {"prefixLength": {"max": 33}}, "prefixLength.max", id="33"
        ),
        pytest.param("exportV4", ACCEPT | {"operations": [{}]}, "operations[0]", id="no-operation"),
        pytest.param(
            "exportV4",
            ACCEPT
            | {"operations": [{"addCommunity": {"value": "1:1"}, "setPriority": {"value": 9}}]},
            "operations[0]",
            id="two-operations",
        ),
        pytest.param(
            "exportV4", ACCEPT | {"operations": [{"setPriority": {"value": 100}}]}, None, id="one"
        ),
        pytest.param(
            "exportV4",
            {"action": "Reject", "operations": [{"setPriority": {"value": 1}}]},
            "operations",
            id="operations-of-a-rejection",
        ),
        pytest.param(
            "exportV4",
            ACCEPT | {"operations": [{"prependASPath": {"prefix": list(range(1, 12))}}]},
            "operations[0].prependASPath.prefix",
            id="path-too-long",
        ),
        pytest.param("exportV4", ACCEPT | {"operations": []}, "operations", id="empty-operations"),
        pytest.param("importV4", ACCEPT | {"interface": "*"}, None, id="any-interface"),
        pytest.param("importV4", ACCEPT | {"interface": "eth*"}, None, id="interfaces"),
        pytest.param("importV4", ACCEPT | {"interface": "eth/0"}, "interface", id="interface"),
        pytest.param("importV4", ACCEPT | {"source": "RemotePeers"}, None, id="source"),
        pytest.param("importV4", ACCEPT | {"peerType": "ebgp"}, "peerType", id="peer-type"),
        pytest.param(
            "importV4",
            ACCEPT | {"communities": {"values": ["1:1", "2:2"]}},
            "communities.values",
            id="two-communities",
        ),
        pytest.param("importV4", ACCEPT | {"priority": 0}, "priority", id="priority"),
        pytest.param("importV4", ACCEPT | {"asPathPrefix": [64512, "1.1"]}, None, id="path"),
        pytest.param("importV4", {"action": "Allow"}, "action", id="action"),
        pytest.param("importV4", {}, "action", id="no-action"),
    ],
)
def test_bgp_filter(field: str, rule: Raw, expected: str | None) -> None:
    found = fields("BGPFilter", {field: [rule]})

    assert ([] if expected is None else [f"spec.{field}[0].{expected}"]) == found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"healthChecks": "invalid"}, "healthChecks", id="health"),
        pytest.param({"healthChecks": "Enabled"}, None, id="health-enabled"),
        pytest.param({"logSeverityScreen": "invalid"}, "logSeverityScreen", id="level"),
        pytest.param({"logSeverityScreen": "Error"}, None, id="level-error"),
        pytest.param({"logSeverityScreen": "Trace"}, None, id="level-trace"),
        pytest.param({"etcdV3CompactionPeriod": "12m"}, None, id="compaction"),
        pytest.param({"etcdV3CompactionPeriod": "12 m"}, "etcdV3CompactionPeriod", id="period"),
        pytest.param({"controllers": {}}, None, id="no-controllers"),
        pytest.param(
            {
                "controllers": {
                    name: {} for name in ("node", "policy", "workloadEndpoint", "serviceAccount")
                }
            },
            None,
            id="empty-controllers",
        ),
        pytest.param({"controllers": {"node": {"reconcilerPeriod": "5m"}}}, None, id="reconcile"),
        pytest.param(
            {"controllers": {"node": {"syncLabels": "yes"}}},
            "controllers.node.syncLabels",
            id="sync",
        ),
        pytest.param(
            {"controllers": {"node": {"hostEndpoint": {"autoCreate": "Totally"}}}},
            "controllers.node.hostEndpoint.autoCreate",
            id="auto-create",
        ),
        pytest.param(
            {
                "controllers": {
                    "node": {
                        "hostEndpoint": {
                            "autoCreate": "Enabled",
                            "templates": [
                                {"generateName": "t", "interfaceCIDRs": ["10.0.0.0/24"]},
                                {"generateName": "u", "interfacePattern": "eth.*"},
                            ],
                        }
                    }
                }
            },
            None,
            id="templates",
        ),
        pytest.param(
            {"controllers": {"node": {"hostEndpoint": {"templates": [{"generateName": "t"}]}}}},
            "controllers.node.hostEndpoint.templates[0]",
            id="template-of-nothing",
        ),
        pytest.param({"prometheusMetricsPort": 0}, None, id="metrics-off"),
        pytest.param({"prometheusMetricsPort": 65536}, "prometheusMetricsPort", id="metrics"),
        pytest.param(
            {"controllers": {"loadBalancer": {"assignIPs": "Some"}}},
            "controllers.loadBalancer.assignIPs",
            id="assign",
        ),
    ],
)
def test_kube_controllers(spec: Raw, expected: str | None) -> None:
    found = fields("KubeControllersConfiguration", spec)

    assert ([] if expected is None else [f"spec.{expected}"]) == found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"bgp": {"ipv4Address": "1.2.3.4/32"}}, None, id="v4"),
        pytest.param({"bgp": {"ipv4Address": "192.0.2.7/24"}}, None, id="v4-in-its-network"),
        pytest.param({"bgp": {"ipv6Address": "aabb:aabb::ffff/128"}}, None, id="v6"),
        pytest.param({"bgp": {"ipv4IPIPTunnelAddr": "10.0.0.1"}}, None, id="tunnel"),
        pytest.param({}, None, id="no-bgp"),
        pytest.param({"bgp": {}}, "bgp", id="empty-bgp"),
        pytest.param({"bgp": {"ipv4Address": "fd00::1"}}, "bgp.ipv4Address", id="v6-as-v4"),
        pytest.param({"bgp": {"ipv6Address": "1.2.3.4/32"}}, "bgp.ipv6Address", id="v4-as-v6"),
        pytest.param(
            {"bgp": {"routeReflectorClusterID": "abcdef"}}, "bgp.routeReflectorClusterID", id="id"
        ),
        pytest.param(
            {"bgp": {"routeReflectorClusterID": "300.34.3.1"}},
            "bgp.routeReflectorClusterID",
            id="id-300",
        ),
        pytest.param({"bgp": {"routeReflectorClusterID": "245.0.0.1"}}, None, id="id-good"),
        pytest.param({"wireguard": {"interfaceIPv4Address": "1.2.3.4"}}, None, id="wireguard"),
        pytest.param(
            {"wireguard": {"interfaceIPv4Address": "foo.bar"}},
            "wireguard.interfaceIPv4Address",
            id="wireguard-name",
        ),
        pytest.param({"addresses": [{"address": "1.2.3.4", "type": "InternalIP"}]}, None, id="ip"),
        pytest.param(
            {"addresses": [{"address": "1.2.3.4", "type": "Hostname"}]},
            "addresses[0].type",
            id="type",
        ),
        pytest.param({"vxlanTunnelMACAddr": "66:2"}, "vxlanTunnelMACAddr", id="mac"),
    ],
)
def test_node(spec: Raw, expected: str | None) -> None:
    assert ([] if expected is None else [f"spec.{expected}"]) == fields("Node", spec)


def test_node_keys() -> None:
    """``status`` of a v3 Node: keys are 32 bytes in base64."""
    found = fields("Node", {}, status={"wireguardPublicKey": KEY, "wireguardPublicKeyV6": "foobar"})

    assert ["status.wireguardPublicKeyV6"] == found


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        pytest.param("CalicoNodeStatus", {"updatePeriodSeconds": 86400}, [], id="period"),
        pytest.param(
            "CalicoNodeStatus", {"updatePeriodSeconds": 86401}, ["updatePeriodSeconds"], id="day"
        ),
        pytest.param(
            "CalicoNodeStatus",
            {"node": "n", "classes": ["Agent", "BGP", "Routes"]},
            [],
            id="classes",
        ),
        pytest.param("CalicoNodeStatus", {"classes": ["agent"]}, ["classes[0]"], id="class"),
        pytest.param(
            "ClusterInformation",
            {"clusterGUID": "g", "clusterType": "k8s,bgp", "datastoreReady": True},
            [],
            id="information",
        ),
        pytest.param("ClusterInformation", {"datastoreReady": 1}, ["datastoreReady"], id="flag"),
        pytest.param("IPReservation", {"reservedCIDRs": ["10.0.0.1"]}, [], id="address"),
        pytest.param(
            "IPReservation", {"reservedCIDRs": ["10.0.1.0/24", "192.168.0.34"]}, [], id="both"
        ),
        pytest.param(
            "IPReservation", {"reservedCIDRs": ["10.0.0.1", "cafe:f00d::/96"]}, [], id="v6"
        ),
        pytest.param("IPReservation", {"reservedCIDRs": ["garbage"]}, ["reservedCIDRs[0]"], id="x"),
        pytest.param(
            "IPReservation", {"reservedCIDRs": ["10.0.1.0/33"]}, ["reservedCIDRs[0]"], id="long"
        ),
        pytest.param(
            "BlockAffinity",
            {"deleted": "false", "state": "confirmed", "cidr": "10.0.0.0/24", "node": "node-1"},
            [],
            id="affinity",
        ),
        pytest.param(
            "BlockAffinity",
            {"deleted": "true", "state": "confirmed", "cidr": "10.0.0.0/24", "node": "node-1"},
            ["deleted"],
            id="affinity-deleted",
        ),
        pytest.param(
            "BlockAffinity",
            {"state": "lost", "cidr": "10.0.0.0/24", "node": "node-1"},
            ["state"],
            id="affinity-state",
        ),
        pytest.param(
            "IPAMBlock",
            {
                "cidr": "10.0.0.0/30", "affinity": "host:node-1", "strictAffinity": False,
                "allocations": [0, None, None, None], "unallocated": [1, 2, 3],
                "attributes": [{"handle_id": "h", "secondary": {"node": "n"}}],
            },
            [],
            id="block",
        ),
        pytest.param(
            "IPAMBlock",
            {
                "cidr": "10.0.0.1/30", "affinity": "rack:1", "allocations": [], "unallocated": [],
                "attributes": [],
            },
            ["cidr", "affinity"],
            id="block-wrong",
        ),
        pytest.param("IPAMHandle", {"handleID": "h", "block": {"10.0.0.0/26": 1}}, [], id="handle"),
        pytest.param("IPAMHandle", {"handleID": "h"}, ["block"], id="handle-of-nothing"),
    ],
)  # fmt: skip
def test_cluster_and_address_state(kind: str, spec: Raw, expected: list[str]) -> None:
    assert [f"spec.{field}" for field in expected] == fields(kind, spec)


def rule(**parts: Any) -> Raw:
    return {"action": "Allow", **parts}


TCP80 = {"protocol": "TCP", "destination": {"ports": [80]}}
RULES_VALID: list[Raw] = [
    rule(),
    rule(action="Deny"),
    rule(action="Log"),
    rule(ipVersion=4),
    rule(ipVersion=6),
    rule(protocol="SCTP"),
    rule(protocol="UDPLite"),
    rule(protocol=255),
    rule(protocol="255"),
    rule(protocol="1"),
    rule(protocol=6, source={"ports": [1]}),
    rule(protocol=6, source={"ports": ["foo"]}),
    rule(protocol="UDP", source={"ports": ["foo"]}),
    rule(protocol=7, source={"ports": []}),
    rule(protocol=17, source={"notPorts": [1]}),
    rule(protocol="ICMPv6", ipVersion=6, destination={"notPorts": []}),
    rule(protocol="ICMP", icmp={"type": 0}),
    rule(protocol="ICMPv6", icmp={"type": 0}),
    rule(protocol="ICMP", ipVersion=4, icmp={"type": 0}),
    rule(protocol="ICMP", icmp={"type": 254, "code": 255}),
    rule(protocol="ICMP", icmp={}),
    rule(http={"methods": ["GET"]}),
    rule(protocol="TCP", http={"methods": ["GET"]}),
    rule(http={"paths": [{"exact": "/foo"}, {"prefix": "/bar"}]}),
    rule(metadata={"annotations": {"foo": "bar"}}),
    rule(source={"selector": 'foo == "bar"'}),
    rule(source={"selector": "has(calico/k8s_NS-.1/role)"}),
    rule(source={"namespaceSelector": "  global()  "}),
    rule(
        source={"namespaceSelector": "global()"},
        destination={"namespaceSelector": "projectcalico.org/name == 'test'"},
    ),
    rule(source={"services": {"name": "s", "namespace": "default"}}),
    rule(protocol="TCP", source={"ports": [80], "services": {"name": "s", "namespace": "d"}}),
    rule(protocol="TCP", source={"notPorts": [80], "services": {"name": "s", "namespace": "d"}}),
]
RULES_REFUSED: list[Raw] = [
    rule(action="unknown"),
    rule(action="allowfoo"),
    {},
    rule(ipVersion=0),
    rule(protocol=0),
    rule(protocol="0"),
    rule(protocol="256"),
    rule(protocol="tcpfoo"),
    rule(protocol="tcp"),
    rule(destination={"ports": [1]}),
    rule(protocol="TCP", destination={"notPorts": [0]}),
    rule(protocol="unknown", destination={"notPorts": ["foo"]}),
    rule(protocol="TCP", source={"ports": ["200:100"]}),
    rule(protocol="TCP", destination={"notPorts": ["0:100"]}),
    rule(protocol=7, source={"ports": [1]}),
    rule(protocol=100, source={"notPorts": [1]}),
    rule(protocol="ICMP", destination={"notPorts": [1]}),
    rule(ipVersion=4, icmp={"type": 0}),
    rule(protocol="ICMP", ipVersion=6),
    rule(protocol="ICMPv6", ipVersion=4),
    rule(protocol="ICMP", icmp={"code": 0}),
    rule(protocol="ICMP", icmp={"type": 255}),
    rule(protocol="ICMP", icmp={"type": 128, "code": 256}),
    rule(source={"nets": ["1.2.3.0/26"]}, destination={"nets": ["aabb:aabb::/122"]}),
    rule(ipVersion=6, source={"nets": ["1.0.0.0/10"]}),
    rule(ipVersion=4, destination={"notNets": ["aabb:aabb::ffff/128"]}),
    rule(action="Deny", http={"methods": ["GET"]}),
    rule(protocol="UDP", http={"methods": ["GET"]}),
    rule(http={"methods": ["GET", "GET", "Foo"]}),
    rule(http={"paths": [{"exact": "/foo", "prefix": "/bar"}]}),
    rule(http={"paths": [{"exact": "/fo?o"}]}),
    rule(http={"paths": [{"exact": "/fo o"}]}),
    rule(http={"paths": [{"exact": "/f#oo"}]}),
    rule(http={"paths": [{}]}),
    rule(metadata={"annotations": {"...": "bar"}}),
    rule(source={"selector": "thing=hello &"}),
    rule(source={"selector": "  global()  "}),
    rule(source={"namespaceSelector": " global() && all()"}),
    rule(source={"namespaceSelector": "global()||all()"}),
    rule(destination={"services": {"name": "s", "namespace": "d"}}),
    *[
        rule(source={"services": {"name": "s", "namespace": "d"}, **other})
        for other in (
            {"serviceAccounts": {"names": ["a"]}},
            {"nets": ["10.0.0.0/8"]},
            {"notNets": ["10.0.0.0/8"]},
            {"selector": "x == 'y'"},
            {"notSelector": "x == 'y'"},
            {"namespaceSelector": "x == 'y'"},
        )
    ],
    rule(source={"services": {"namespace": "d"}}),
    rule(destination={"domains": ["example.org"]}),
    rule(source={"services": {"name": ""}}),
]


@pytest.mark.parametrize("kind", ["NetworkPolicy", "GlobalNetworkPolicy"])
@pytest.mark.parametrize("ingress", RULES_VALID, ids=_ids(RULES_VALID))
def test_rules_accepted(kind: str, ingress: Raw) -> None:
    assert [] == validate(obj(kind, {"ingress": [ingress]}))


@pytest.mark.parametrize("kind", ["NetworkPolicy", "GlobalNetworkPolicy"])
@pytest.mark.parametrize("ingress", RULES_REFUSED, ids=_ids(RULES_REFUSED))
def test_rules_refused(kind: str, ingress: Raw) -> None:
    found = fields(kind, {"ingress": [ingress]})

    assert found
    assert all(field.startswith("spec.ingress[0]") for field in found)


@pytest.mark.parametrize("kind", ["NetworkPolicy", "GlobalNetworkPolicy"])
@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        pytest.param("thing", True, id="plain"),
        pytest.param("default.thing", True, id="with-its-tier"),
        pytest.param("knp.default.thing", True, id="converted"),
        pytest.param("t.h.i.ng", True, id="dots"),
        pytest.param("tHiNg", False, id="upper-case"),
        pytest.param("t~!s.h.i.ng", False, id="strange"),
        pytest.param("x" * 253, True, id="longest"),
        pytest.param("x" * 254, False, id="too-long"),
    ],
)
def test_names_of_policies(kind: str, name: str, *, is_valid: bool) -> None:
    """Since v3.32 a policy's name has no tier in it; one that has is a name all the same."""
    written = obj(kind, {})
    written["metadata"]["name"] = name

    assert is_valid == (validate(written) == [])
