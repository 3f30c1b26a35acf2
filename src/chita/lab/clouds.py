"""What each cloud's network does to packets, as the nftables rules of its router: pure text.

Two tables, because a packet between two nodes of one cloud never leaves the switch:

* ``bridge chita-port``: at each node's port, what the provider does on the network card: checks of
  source (and destination) addresses, refused protocols, lengths that vanish.
* ``inet chita-cloud``: at the router, 1:1 addresses, NAT with its timers, and the security group.

::

    node ── p-<node> ─[bridge: anti-spoof, protocols, lengths]─ br0 ─[inet: NAT, group]─ wan0 ── WAN

The security group is the usual one for a cluster: members reach each other on everything, the world
reaches the tunnels' UDP ports, kubelet's port and ICMP of those with a public address, and nodes
reach the world; answers return (docs/design/lab.md has the table and its sources).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from chita.lab.places import Cloud, NodePlace, Peer
from chita.lab.underlay import NatKind, Provider, Spoofing
from chita.model.net import Address

TUNNEL_PORTS = range(51820, 52820)
"""Where tunnels listen: 51820, or 51820 + a hash mod 1000 behind a NAT."""

KUBELET_PORT = 10250
RELAY_PORT = 443
"""Where gateways take tunnels in TCP from networks that let no UDP out."""

_PRIVATE = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16"
"""What no router on the internet knows a way to (RFC 1918, RFC 6598, RFC 3927)."""


def router_rules(cloud: Cloud) -> str:
    """Return the nftables script that makes the router of *cloud* behave like its provider's."""
    return "\n".join(
        [
            "table bridge chita-port {",
            *_indented(_port_chains(cloud)),
            "}",
            *cloud_rules(cloud),
            "",
        ]
    )


def cloud_rules(cloud: Cloud) -> Iterator[str]:
    """Yield the lines of the table that routes: timers, NAT and the security group."""
    yield "table inet chita-cloud {"
    yield from _indented(_timers(cloud))
    yield from _indented(_nat_chains(cloud))
    yield from _indented(_input_chain())
    yield from _indented(_forward_chain(cloud))
    yield "}"


def _port_chains(cloud: Cloud) -> Iterator[str]:
    """What happens on the network cards: before the switch, and when it has chosen a port."""
    yield "chain from-node {"
    yield "  type filter hook prerouting priority 0; policy accept;"
    for protocol in cloud.drop_protocols:
        yield f'  iifname "p-*" ip protocol {protocol} counter drop'
    if cloud.provider is Provider.AZURE:
        yield from ("  " + rule for rule in _AZURE_RULES)
    if cloud.silent_drop_over:
        yield from (f'  iifname "p-*" {rule}' for rule in _length_rules(cloud.silent_drop_over))
    for node in cloud.nodes:
        yield from ("  " + rule for rule in _source_rules(cloud, node))
    yield "}"
    yield "chain to-node {"
    yield "  type filter hook postrouting priority 0; policy accept;"
    if cloud.silent_drop_over:
        yield from (f'  oifname "p-*" {rule}' for rule in _length_rules(cloud.silent_drop_over))
    if cloud.spoofing is Spoofing.ADDRESS:
        for node in cloud.nodes:
            yield from ("  " + rule for rule in _destination_rules(node))
    yield "}"


def _length_rules(longest: int) -> Iterator[str]:
    """Drop IP packets over *longest* bytes in silence, yet let a host's own TCP work.

    As such platforms do: ordinary TCP has always worked there, so its segments are kept small
    enough on the way; everything else (tunnels above all) finds the limit by losing packets.
    """
    syn = "tcp flags & (syn | rst) == syn"
    for family, headers in (("ip", 20 + 20), ("ip6", 40 + 20)):
        most = longest - headers
        yield (
            f"meta protocol {family} {syn} tcp option maxseg size > {most} "
            f"tcp option maxseg size set {most}"
        )
    yield f"ip length > {longest} counter drop"
    # nftables has the IPv6 payload's length, without the fixed header of 40 bytes.
    yield f"ip6 length > {longest - 40} counter drop"


_AZURE_RULES = (
    'iifname "p-*" udp dport 65330 counter drop',
    'iifname "p-*" ip daddr { 224.0.0.0/4, 255.255.255.255 } counter drop',
    # Neighbour discovery is multicast too, and does work there.
    'iifname "p-*" ip6 daddr ff00::/8 meta l4proto != ipv6-icmp counter drop',
)
"""Azure: UDP port 65330 is the host's, multicast and broadcast are not carried."""


def _source_rules(cloud: Cloud, node: NodePlace) -> Iterator[str]:
    """Drop what *node* sends in a name that is not its own."""
    port = f'iifname "{node.port}"'
    allowed = [str(cidr) for cidr in cloud.allowed_addresses]
    match cloud.spoofing:
        case Spoofing.FREE:
            return
        case Spoofing.ADDRESS:
            allowed = []
        case Spoofing.PORT:
            yield f"{port} ether saddr != {node.mac} counter drop"
            own = _set([str(a) for a in _of(node, 4)] + [c for c in allowed if ":" not in c])
            yield f"{port} arp saddr ip != {own} counter drop"
    v4 = [str(a) for a in _of(node, 4)] + [c for c in allowed if ":" not in c]
    v6 = [str(a) for a in _of(node, 6)] + [c for c in allowed if ":" in c]
    yield f"{port} ip saddr != {_set(v4)} counter drop" if v4 else f"{port} ip version 4 drop"
    # Link-local and unspecified sources are neighbour discovery's (RFC 4861, RFC 4862).
    yield f"{port} ip6 saddr != {_set(['::', 'fe80::/10', *v6])} counter drop"


def _destination_rules(node: NodePlace) -> Iterator[str]:
    """Drop what reaches *node* and is for somebody else (the other half of AWS's check)."""
    port = f'oifname "{node.port}"'
    own4 = [str(a) for a in _of(node, 4)]
    own6 = [str(a) for a in _of(node, 6)]
    yield f"{port} ip daddr != {_set([*own4, '224.0.0.0/4', '255.255.255.255'])} counter drop"
    yield f"{port} ip6 daddr != {_set(['fe80::/10', 'ff00::/8', *own6])} counter drop"


def _timers(cloud: Cloud) -> Iterator[str]:
    """When the router forgets a UDP mapping; other protocols keep the kernel's times."""
    policy = (
        f"policy = {{ unreplied : {cloud.nat.udp_idle_seconds}, "
        f"replied : {cloud.nat.udp_stream_seconds} }}"
    )
    for family in ("ip", "ip6"):
        yield f"ct timeout udp-{family} {{ protocol udp; l3proto {family}; {policy}; }}"
    yield "chain timers {"
    # After conntrack's own hook at -200 has made the entry, before it is confirmed.
    yield "  type filter hook prerouting priority -150; policy accept;"
    yield '  meta nfproto ipv4 meta l4proto udp ct timeout set "udp-ip"'
    yield '  meta nfproto ipv6 meta l4proto udp ct timeout set "udp-ip6"'
    yield "}"


def _nat_chains(cloud: Cloud) -> Iterator[str]:
    """1:1 for public addresses, one address for all the others."""
    inbound: dict[int, list[str]] = {4: [], 6: []}
    outbound: dict[int, list[str]] = {4: [], 6: []}
    for node in cloud.nodes:
        for public in node.public_addresses:
            for private in _of(node, public.family)[:1]:
                inbound[public.family].append(f"{public} : {private}")
                outbound[public.family].append(f"{private} : {public}")
    yield "chain inbound {"
    yield "  type nat hook prerouting priority dstnat; policy accept;"
    for family, word in ((4, "ip"), (6, "ip6")):
        if inbound[family]:
            yield f"  dnat {word} to {word} daddr map {_set(inbound[family])}"
    yield "}"
    yield "chain outbound {"
    yield "  type nat hook postrouting priority srcnat; policy accept;"
    # A node that dials a neighbour's public address comes from its own, or the answer would go
    # past the router.
    for family, word in ((4, "ip"), (6, "ip6")):
        if outbound[family]:
            yield f'  oifname "wan0" snat {word} to {word} saddr map {_set(outbound[family])}'
            yield f"  ct status dnat snat {word} to {word} saddr map {_set(outbound[family])}"
    if cloud.nat.kind is not NatKind.NONE:
        how = " fully-random" if cloud.nat.kind is NatKind.ENDPOINT_DEPENDENT else ""
        for address in cloud.wan_addresses:
            word = "ip" if address.family == 4 else "ip6"
            # Also what hairpins to a neighbour's public address.
            match = f"meta nfproto ipv{address.family}"
            yield f'  oifname "wan0" {match} snat {word} to {address}{how}'
            yield f'  oifname "br0" iifname "br0" {match} ct status dnat snat {word} to {address}'
    yield "}"


def _input_chain() -> Iterator[str]:
    """What nobody behind the router asked for is dropped, as routers do.

    An answer (port unreachable) would leave a mapping behind: the node that dials the same address
    a moment later would come from another port, and two NATs could never meet half-way.
    """
    yield "chain input {"
    yield "  type filter hook input priority 0; policy accept;"
    yield '  iifname "wan0" meta l4proto { tcp, udp } ct state new counter drop'
    yield "}"


def _forward_chain(cloud: Cloud) -> Iterator[str]:
    """The security group, and what the way to the internet refuses."""
    yield "chain forward {"
    yield "  type filter hook forward priority 0; policy drop;"
    for protocol in cloud.drop_protocols:
        yield f"  ip protocol {protocol} counter drop"
    if cloud.silent_drop_over:
        yield from (f"  {rule}" for rule in _length_rules(cloud.silent_drop_over))
    yield f'  oifname "wan0" ip daddr {{ {_PRIVATE} }} counter drop'
    yield "  ct state established,related accept"
    for peer in cloud.peers:
        yield from (f"  {rule}" for rule in _peer_rules(cloud, peer))
    if cloud.nat.kind is NatKind.NONE:
        for word, family in (("ip", 4), ("ip6", 6)):
            private = [
                str(a)
                for node in cloud.nodes
                for a in _of(node, family)
                if not any(public.family == family for public in node.public_addresses)
            ]
            if private:
                yield f'  oifname "wan0" {word} saddr {_set(private)} counter drop'
    # Port-less protocols can't share an address: NAT gateways carry TCP, UDP and ICMP only.
    yield '  iifname "br0" oifname "wan0" meta l4proto { tcp, udp, icmp, ipv6-icmp } accept'
    yield '  iifname "br0" oifname "br0" accept'
    yield f"  ct status dnat udp dport {TUNNEL_PORTS[0]}-{TUNNEL_PORTS[-1]} counter accept"
    yield f"  ct status dnat tcp dport {{ {RELAY_PORT}, {KUBELET_PORT} }} counter accept"
    yield "  ct status dnat meta l4proto { icmp, ipv6-icmp } counter accept"
    yield "  counter drop"
    yield "}"


def _peer_rules(cloud: Cloud, peer: Peer) -> Iterator[str]:
    """Let the two networks reach each other on everything, and nobody behind either."""
    for ours, theirs in product(cloud.private_cidrs, peer.cidrs):
        if ours.family != theirs.family:
            continue
        word = "ip" if ours.family == 4 else "ip6"
        for way, source, destination in (
            (f'iifname "br0" oifname "{peer.port}"', ours, theirs),
            (f'iifname "{peer.port}" oifname "br0"', theirs, ours),
        ):
            yield f"{way} {word} saddr {source} {word} daddr {destination} accept"


def _of(node: NodePlace, family: int) -> list[Address]:
    """Return the node's private addresses of *family*."""
    return [address for address in node.private_addresses if address.family == family]


def _set(elements: list[str]) -> str:
    """Return an anonymous set or map of *elements*."""
    return "{ " + ", ".join(elements) + " }"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return ("  " + line for line in lines)
