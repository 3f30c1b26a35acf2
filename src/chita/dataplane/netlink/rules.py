"""The policy rules that lead packets into our routing tables.

Our routes stand in a table of their own (24482, "CHITA" on a telephone's keys) with a protocol
number of their own (252), reached by one rule of each family with priority 2448. The tables for
some packets only (`chita.desired.routes.RoutingTable`) follow it in number and precede it in
priority. Removing the rules takes us out of the way at once. docs/design/dataplane-links.md says
why these numbers.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from socket import AF_INET, AF_INET6

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attributes, number, string, text, u8, u32
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan
from chita.desired.routes import RoutingTable
from chita.desired.tunnels import Transit
from chita.errors import KernelError
from chita.model.net import Family

_RULE = struct.Struct("=BBBBBxxBI")
"""struct fib_rule_hdr: family, dst_len, src_len, tos, table, action, flags."""
_AF: dict[Family, int] = {4: AF_INET, 6: AF_INET6}


class RoutingIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers by which our routes and rules are known as ours."""

    table: int = 24482
    """1 to 2**32 - 1, used by nobody else."""
    further_tables: int = 7
    """As many numbers after it are ours too."""
    protocol: int = 252
    """rtm_protocol, 5 to 255, in no registry of /etc/iproute2/rt_protos."""
    rule_priority: int = 2448
    """After `local` (0), before `main` (32766) and Tailscale (5210)."""


OURS = RoutingIdentity()


class Rule(msgspec.Struct, frozen=True):
    """Where packets of *family* look, in the order of *priority*; all of them if no device says."""

    family: Family
    priority: int
    table: int | None = OURS.table
    """None: what comes to this rule is dropped."""
    arriving: str = ""
    """The device they came in by."""
    bound: str = ""
    """The device their socket is bound to."""

    def __str__(self) -> str:
        words = f" iif {self.arriving}" if self.arriving else ""
        words += f" oif {self.bound}" if self.bound else ""
        does = "blackhole" if self.table is None else f"lookup {self.table}"
        return f"{self.priority}{words} {does} of IPv{self.family}"


class Rules:
    """Our rules in a socket's namespace: those with our protocol.

    Blocking; one thread at a time.
    """

    def __init__(self, socket: NetlinkSocket, identity: RoutingIdentity = OURS) -> None:
        self._socket = socket
        self._identity = identity

    def read(self) -> set[Rule]:
        """Return our rules."""
        found: set[Rule] = set()
        for family, af in _AF.items():
            body = _RULE.pack(af, 0, 0, 0, 0, 0, 0)
            for answer in self._socket.dump(nl.RTM_GETRULE, body, what="list rules"):
                values = dict(attributes(answer, _RULE.size))
                if number(values.get(nl.FRA_PROTOCOL, b"")) == self._identity.protocol:
                    table = number(values.get(nl.FRA_TABLE, b""))
                    found.add(
                        Rule(
                            family=family,
                            priority=number(values.get(nl.FRA_PRIORITY, b"")),
                            table=table or None,
                            arriving=string(values.get(nl.FRA_IIFNAME, b"")),
                            bound=string(values.get(nl.FRA_OIFNAME, b"")),
                        )
                    )
        return found

    def put(self, rule: Rule) -> None:
        """Add *rule*; twice is once."""
        try:
            self._request(nl.RTM_NEWRULE, nl.NLM_F_CREATE | nl.NLM_F_EXCL, rule, "put")
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise

    def remove(self, rule: Rule) -> None:
        """Remove *rule*; one that is not there is removed already."""
        try:
            self._request(nl.RTM_DELRULE, 0, rule, "remove")
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise

    def _request(self, kind: int, flags: int, rule: Rule, verb: str) -> None:
        action = nl.FR_ACT_BLACKHOLE if rule.table is None else nl.FR_ACT_TO_TBL
        body = _RULE.pack(_AF[rule.family], 0, 0, 0, nl.RT_TABLE_UNSPEC, action, 0)
        body += u32(nl.FRA_PRIORITY, rule.priority) + u8(nl.FRA_PROTOCOL, self._identity.protocol)
        if rule.table is not None:
            body += u32(nl.FRA_TABLE, rule.table)
        if rule.arriving:
            body += text(nl.FRA_IIFNAME, rule.arriving)
        if rule.bound:
            body += text(nl.FRA_OIFNAME, rule.bound)
        self._socket.request(kind, flags, body, what=f"{verb} rule {rule}")


def our_rules(
    identity: RoutingIdentity = OURS,
    tables: Mapping[int, RoutingTable] | None = None,
    transit: Transit | None = None,
    *,
    inward: Iterable[str] = (),
) -> set[Rule]:
    """Return the rules that lead both families into the tables of *identity*.

    What came by *transit*, or by a device of *inward*, and is for nobody we know is dropped: the
    default route of `main` would take it out of the fabric.
    """
    priority = identity.rule_priority
    rules = {Rule(family, priority, identity.table) for family in _AF}
    for number_, table in (tables or {}).items():
        for family in _AF:
            rules |= {Rule(family, priority - 1, number_, arriving=it) for it in table.arriving}
            rules |= {Rule(family, priority - 1, number_, bound=it) for it in table.bound}
    for device in (*inward, *([transit.device] if transit is not None else [])):
        rules |= {Rule(family, priority + 1, None, arriving=device) for family in _AF}
    return rules


def sync_rules(desired: set[Rule], rules: Rules) -> dict[Rule, KernelError]:
    """Make *rules* hold exactly *desired*; return what the kernel refused."""
    changes = plan({rule: rule for rule in desired}, {rule: rule for rule in rules.read()})
    return apply(changes, lambda rule, _: rules.put(rule), rules.remove)
