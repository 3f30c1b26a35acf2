"""FelixConfiguration of ``projectcalico.org/v3``: every parameter of upstream's (v3.34).

Types, ranges and choices are those of ``felix/docs/config-params.json``, the CRD and the tags of
``api/pkg/apis/projectcalico/v3/felixconfig.go``. What of them means something here is
`USED_FIELDS`; the others are checked all the same, so that a file which is
valid here is valid there, and told of by `chita.model.validate.warnings`.
"""

from __future__ import annotations

from typing import Final

from chita.model.kinds import known_kind
from chita.model.schema import (
    Flag,
    Format,
    KindSchema,
    ListOf,
    MapOf,
    Pattern,
    Record,
    Schema,
    Spelling,
    Text,
    Whole,
    WholeOrText,
)
from chita.model.schemas.bgp import CLUSTER_ROUTES, ENABLED, LOG_LEVELS, ROUTE_PRIORITY
from chita.model.schemas.policy import SELECTOR, V3
from chita.model.schemas.settings import HOST_SETTINGS, PORT

_ANY_PORT = Whole(minimum=0, maximum=65535)
_COUNT = Whole(minimum=0)
_SIZE = Whole(minimum=1)
_LEVEL = Text(choices=LOG_LEVELS)
_REGEX = Text(format=Format.REGEX)
_PERIOD = Text(pattern=Pattern(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))*", "90s"))
_TIMEOUT = Text(pattern=Pattern(r"(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)", "60s"))
_LOOSE_NETWORKS = ListOf(item=Text(format=Format.CIDR_OR_ADDRESS_LOOSE))
_LINK = Text(pattern=Pattern(r"[a-zA-Z0-9_.-]{1,15}", "wireguard.cali"))
_LINK_FILTER = Text(pattern=Pattern(r"[a-zA-Z0-9:._+-]{1,15}", "docker+"))
_MARK = Whole(minimum=0, maximum=0xFFFFFFFF)
_ALLOW = Text(choices=("Accept", "Return"))
_DENY = Text(choices=("Drop", "Reject"))


def _any_case(*choices: str) -> Text:
    """The CRD's pattern for these begins with ``(?i)``, and nothing is stricter."""
    return Text(choices=choices, spelling=Spelling.ANY_CASE)


def _table_range(most: int) -> Record:
    number = Whole(minimum=1, maximum=most)
    return Record(fields={"min": number, "max": number}, required=("min", "max"))


_FAILSAFE = ListOf(
    item=Record(
        fields={
            "protocol": Text(choices=("TCP", "UDP", "SCTP")),
            "port": _ANY_PORT,
            "net": Text(format=Format.CIDR_OR_ADDRESS_LOOSE),
        },
        required=("protocol", "port"),
    ),
)

_PROCESS: Final[dict[str, Schema]] = {
    "nodeSelector": SELECTOR,
    "featureDetectOverride": Text(
        pattern=Pattern(
            r"([a-zA-Z0-9-_]+=(true|false|),)*([a-zA-Z0-9-_]+=(true|false|))?",
            "SNATFullyRandom=true,MASQFullyRandom=false",
        ),
    ),
    "featureGates": Text(
        pattern=Pattern(r"([a-zA-Z0-9-_]+=([^=]+),)*([a-zA-Z0-9-_]+=([^=]+))?", "XyZ=enabled"),
    ),
    "goGCThreshold": Whole(minimum=-1),
    "goMaxProcs": Whole(minimum=-1),
    "goMemoryLimitMB": Whole(minimum=-1),
    "healthEnabled": Flag(),
    "healthHost": Text(),
    "healthPort": _ANY_PORT,
    "healthTimeoutOverrides": ListOf(
        item=Record(
            fields={
                "name": Text(pattern=Pattern(r"[a-zA-Z0-9_ -]+", "InternalDataplaneMainLoop")),
                "timeout": Text(format=Format.DURATION),
            },
            required=("name", "timeout"),
        ),
    ),
    "logDebugFilenameRegex": _REGEX,
    "logFilePath": Text(),
    "logSeverityFile": _LEVEL,
    "logSeverityScreen": _LEVEL,
    "logSeveritySys": _LEVEL,
    "prometheusGoMetricsEnabled": Flag(),
    "prometheusMetricsCAFile": Text(),
    "prometheusMetricsCertFile": Text(),
    "prometheusMetricsClientAuth": Text(),
    "prometheusMetricsEnabled": Flag(),
    "prometheusMetricsHost": Text(pattern=Pattern(r"[a-zA-Z0-9:._+-]{1,64}", "localhost")),
    "prometheusMetricsKeyFile": Text(),
    "prometheusMetricsPort": _ANY_PORT,
    "prometheusProcessMetricsEnabled": Flag(),
    "prometheusWireGuardMetricsEnabled": Flag(),
    "flowLogsCollectorDebugTrace": Flag(),
    "flowLogsFlushInterval": _PERIOD,
    "flowLogsGoldmaneServer": Text(),
    "flowLogsLocalReporter": ENABLED,
    "flowLogsPolicyEvaluationMode": Text(choices=("None", "Continuous")),
    "debugDisableLogDropping": Flag(),
    "debugHost": Text(),
    "debugMemoryProfilePath": Text(),
    "debugPort": _ANY_PORT,
    "debugSimulateCalcGraphHangAfter": _PERIOD,
    "debugSimulateDataplaneApplyDelay": _PERIOD,
    "debugSimulateDataplaneHangAfter": _PERIOD,
    "usageReportingEnabled": Flag(),
    "usageReportingInitialDelay": _PERIOD,
    "usageReportingInterval": _PERIOD,
}
_DATAPLANE: Final[dict[str, Schema]] = {
    "allowIPIPPacketsFromWorkloads": Flag(),
    "allowVXLANPacketsFromWorkloads": Flag(),
    "awsSrcDstCheck": Text(choices=("DoNothing", "Enable", "Disable")),
    "cgroupV2Path": Text(),
    "chainInsertMode": _any_case("Insert", "Append"),
    "dataplaneDriver": Text(),
    "dataplaneWatchdogTimeout": Text(format=Format.DURATION),
    "deviceRouteProtocol": Whole(minimum=0, maximum=255),
    "deviceRouteSourceAddress": Text(format=Format.ADDRESS4),
    "deviceRouteSourceAddressIPv6": Text(format=Format.ADDRESS6),
    "disableConntrackInvalidCheck": Flag(),
    "endpointReportingDelay": _PERIOD,
    "endpointReportingEnabled": Flag(),
    "endpointStatusPathPrefix": Text(),
    "externalNodesList": ListOf(item=Text(format=Format.HOST_NETWORK4)),
    "failsafeInboundHostPorts": _FAILSAFE,
    "failsafeOutboundHostPorts": _FAILSAFE,
    "floatingIPs": ENABLED,
    "interfaceExclude": Text(),
    "interfacePrefix": Text(),
    "interfaceRefreshInterval": _PERIOD,
    "ipForwarding": ENABLED,
    "ipv4ElevatedRoutePriority": ROUTE_PRIORITY,
    "ipv4NormalRoutePriority": ROUTE_PRIORITY,
    "ipv6ElevatedRoutePriority": ROUTE_PRIORITY,
    "ipv6NormalRoutePriority": ROUTE_PRIORITY,
    "ipv6Support": Flag(),
    "istioAmbientMode": ENABLED,
    "istioDSCPMark": WholeOrText(Format.DSCP),
    "liveMigrationRouteConvergenceTime": _PERIOD,
    # Its other values are in no published release yet.
    "localSubnetL2Reachability": Text(),
    "localSubnetL2ReachabilityRefreshInterval": _PERIOD,
    "metadataAddr": Text(),
    "metadataPort": _ANY_PORT,
    "mtuIfacePattern": _REGEX,
    "natOutgoingAddress": Text(format=Format.ADDRESS4),
    "natOutgoingExclusions": Text(choices=("IPPoolsOnly", "IPPoolsAndHostIPs")),
    "natPortRange": WholeOrText(Format.PORT_RANGE),
    "netlinkTimeout": _PERIOD,
    # Namespaces are named openstack-region-<region>, of 63 characters.
    "openstackRegion": Text(format=Format.DNS_LABEL, max_length=46),
    "policySyncPathPrefix": Text(),
    "programClusterRoutes": Text(choices=CLUSTER_ROUTES),
    "removeExternalRoutes": Flag(),
    "reportingInterval": _PERIOD,
    "reportingTTL": _PERIOD,
    "requireMTUFile": Flag(),
    "routeRefreshInterval": _PERIOD,
    "routeSource": _any_case("WorkloadIPs", "CalicoIPAM"),
    "routeSyncDisabled": Flag(),
    "routeTableRange": _table_range(250),
    "routeTableRanges": ListOf(item=_table_range(0xFFFFFFFF)),
    "serviceLoopPrevention": Text(choices=("Drop", "Reject", "Disabled")),
    "sidecarAccelerationEnabled": Flag(),
    "useInternalDataplaneDriver": Flag(),
    "windowsManageFirewallRules": ENABLED,
    "workloadSourceSpoofing": _any_case("Disabled", "Any"),
    "genericXDPEnabled": Flag(),
    "xdpEnabled": Flag(),
    "xdpRefreshInterval": _PERIOD,
}
_TABLES: Final[dict[str, Schema]] = {
    "ipsetsRefreshInterval": _PERIOD,
    "iptablesBackend": Text(choices=("Legacy", "NFT", "Auto")),
    "iptablesFilterAllowAction": _ALLOW,
    "iptablesFilterDenyAction": _DENY,
    "iptablesLockProbeInterval": _PERIOD,
    "iptablesMangleAllowAction": _ALLOW,
    "iptablesMarkMask": _MARK,
    "iptablesNATOutgoingInterfaceFilter": _LINK_FILTER,
    "iptablesPostWriteCheckInterval": _PERIOD,
    "iptablesRefreshInterval": _PERIOD,
    # iptables' multiport takes 15 ports, a range being two.
    "kubeNodePortRanges": ListOf(item=WholeOrText(Format.PORT_RANGE), max_items=7),
    "maxIpsetSize": _COUNT,
    "nftablesFilterAllowAction": _ALLOW,
    "nftablesFilterDenyAction": _DENY,
    "nftablesFlowTableDataIfacePattern": _REGEX,
    "nftablesFlowTableOffload": Text(),
    "nftablesMangleAllowAction": _ALLOW,
    "nftablesMarkMask": _MARK,
    "nftablesMode": Text(choices=("Disabled", "Enabled", "Auto")),
    "nftablesRefreshInterval": Text(format=Format.DURATION),
}
_BPF: Final[dict[str, Schema]] = {
    "bpfAttachType": Text(choices=("TC", "TCX", "Netkit")),
    "bpfCTLBLogFilter": Text(),
    "bpfConnectTimeLoadBalancing": Text(choices=("TCP", "Enabled", "Disabled")),
    "bpfConnectTimeLoadBalancingEnabled": Flag(),
    "bpfConntrackLogLevel": _any_case("Off", "Debug"),
    "bpfConntrackMode": Text(choices=("Auto", "Userspace", "BPFProgram")),
    "bpfConntrackTimeouts": Record(
        fields=dict.fromkeys(
            (
                "creationGracePeriod", "genericTimeout", "icmpTimeout", "tcpEstablished",
                "tcpFinsSeen", "tcpResetSeen", "tcpSynSent", "udpTimeout",
            ),
            _TIMEOUT,
        ),
    ),
    "bpfDSROptoutCIDRs": _LOOSE_NETWORKS,
    "bpfDataIfacePattern": _REGEX,
    "bpfDisableGROForIfaces": _REGEX,
    "bpfDisableUnprivileged": Flag(),
    "bpfEnabled": Flag(),
    "bpfEnforceRPF": _any_case("Disabled", "Strict", "Loose"),
    "bpfExcludeCIDRsFromNAT": _LOOSE_NETWORKS,
    "bpfExportBufferSizeMB": _SIZE,
    "bpfExtToServiceConnmark": _MARK,
    "bpfExternalServiceMode": Text(choices=("Tunnel", "DSR")),
    "bpfForceTrackPacketsFromIfaces": ListOf(item=_LINK_FILTER),
    "bpfHostConntrackBypass": Flag(),
    "bpfHostNetworkedNATWithoutCTLB": ENABLED,
    "bpfIPFragTimeout": _PERIOD,
    "bpfIPFragmentReassemblyEnabled": Flag(),
    "bpfJITHardening": Text(choices=("Auto", "Strict")),
    "bpfKubeProxyHealthzPort": _ANY_PORT,
    "bpfKubeProxyIptablesCleanupEnabled": Flag(),
    "bpfKubeProxyMinSyncPeriod": _PERIOD,
    "bpfL3IfacePattern": _REGEX,
    "bpfLogFilters": MapOf(key=Format.INTERFACE, value=Text()),
    "bpfLogLevel": Text(choices=("Debug", "Info", "Off")),
    "bpfMaglevMaxEndpointsPerService": Whole(minimum=1, maximum=3000),
    "bpfMaglevMaxServices": Whole(minimum=1, maximum=3000),
    "bpfMapSizeConntrack": _COUNT,
    "bpfMapSizeConntrackCleanupQueue": _SIZE,
    "bpfMapSizeConntrackScaling": _any_case("Disabled", "DoubleIfFull"),
    "bpfMapSizeIPSets": _COUNT,
    "bpfMapSizeIfState": _COUNT,
    "bpfMapSizeNATAffinity": _COUNT,
    "bpfMapSizeNATBackend": _COUNT,
    "bpfMapSizeNATFrontend": _COUNT,
    "bpfMapSizePerCpuConntrack": _COUNT,
    "bpfMapSizeRoute": _COUNT,
    "bpfOverlayHostSourceIP": Text(choices=("TunnelAddress", "HostAddress")),
    "bpfPSNATPorts": WholeOrText(Format.PORT_RANGE),
    "bpfPolicyDebugEnabled": Flag(),
    "bpfProfiling": ENABLED,
    "bpfRedirectToPeer": Text(),
}  # fmt: skip
_OVERLAY: Final[dict[str, Schema]] = {
    "ipipEnabled": Flag(),
    "ipipMTU": _COUNT,
    "vxlanEnabled": Flag(),
    "vxlanMTU": _COUNT,
    "vxlanMTUV6": _COUNT,
    "wireguardEnabled": Flag(),
    "wireguardEnabledV6": Flag(),
    "wireguardHostEncryptionEnabled": Flag(),
    "wireguardInterfaceName": _LINK,
    "wireguardInterfaceNameV6": _LINK,
    "wireguardKeepAlive": _PERIOD,
    "wireguardListeningPort": PORT,
    "wireguardListeningPortV6": PORT,
    "wireguardMTU": _COUNT,
    "wireguardMTUV6": _COUNT,
    # Below the kernel's own: 32766 is the main table's, 32767 the default table's.
    "wireguardRoutingRulePriority": Whole(minimum=1, maximum=32765),
    "wireguardThreadingEnabled": Flag(),
}

USED_FIELDS: Final = frozenset(
    {
        *HOST_SETTINGS,
        "wireguardListeningPort",
        "failsafeInboundHostPorts",
        "failsafeOutboundHostPorts",
    }
)
"""What of it means something here."""

SPEC: Final = Record(
                fields={
                    **HOST_SETTINGS, **_OVERLAY, **_DATAPLANE, **_TABLES, **_PROCESS, **_BPF
                },
                defaults={
                    "nftablesMode": "Auto",
                    "floatingIPs": "Disabled",
                    "programClusterRoutes": "EnabledIPIPOnly",
                    "bpfConnectTimeLoadBalancing": "TCP",
                    "bpfHostNetworkedNATWithoutCTLB": "Enabled",
                },
                hints={
                    "logSeverity": "write logSeverityScreen",
                    "ipInIpEnabled": "write ipipEnabled",
                    "ipInIpMtu": "write ipipMTU",
                    "ipInIpMTU": "write ipipMTU",
                    "externalNodesCIDRList": "write externalNodesList",
                    "wireguardPersistentKeepAlive": "write wireguardKeepAlive",
                    "reportingIntervalSecs": "write reportingInterval, as 30s",
                    "bpfConntrackCleanupMode": "write bpfConntrackMode",
                },
            )  # fmt: skip

KINDS = (KindSchema(of=known_kind(V3, "FelixConfiguration"), fields={"spec": SPEC}),)
