"""The policy rules that lead packets into our routing table.

Our routes stand in a table of their own (24482, "CHITA" on a telephone's keys) with a protocol
number of their own (252), reached by one rule of each family with priority 2448. Removing the rules
takes us out of the way at once. docs/design/dataplane-links.md says why these numbers.
"""

from __future__ import annotations

import errno
import struct
from socket import AF_INET, AF_INET6

import msgspec

from chita.dataplane.netlink import numbers as nl
from chita.dataplane.netlink.message import attributes, number, u8, u32
from chita.dataplane.netlink.socket import NetlinkSocket
from chita.dataplane.plan import apply, plan
from chita.errors import KernelError
from chita.model.net import Family

_RULE = struct.Struct("=BBBBBxxBI")
"""struct fib_rule_hdr: family, dst_len, src_len, tos, table, action, flags."""
_AF: dict[Family, int] = {4: AF_INET, 6: AF_INET6}


class RoutingIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers by which our routes and rules are known as ours."""

    table: int = 24482
    """1 to 2**32 - 1, used by nobody else."""
    protocol: int = 252
    """rtm_protocol, 5 to 255, in no registry of /etc/iproute2/rt_protos."""
    rule_priority: int = 2448
    """After `local` (0), before `main` (32766) and Tailscale (5210)."""


OURS = RoutingIdentity()


class Rule(msgspec.Struct, frozen=True):
    """All packets of *family* look into our table, in the order of *priority*."""

    family: Family
    priority: int


class Rules:
    """The rules to our table in a socket's namespace. Blocking; one thread at a time."""

    def __init__(self, socket: NetlinkSocket, identity: RoutingIdentity = OURS) -> None:
        self._socket = socket
        self._identity = identity

    def read(self) -> set[Rule]:
        """Return our rules: those to our table, with our protocol."""
        found: set[Rule] = set()
        for family, af in _AF.items():
            body = _RULE.pack(af, 0, 0, 0, 0, 0, 0)
            for answer in self._socket.dump(nl.RTM_GETRULE, body, what="list rules"):
                values = dict(attributes(answer, _RULE.size))
                table = number(values.get(nl.FRA_TABLE, b""))
                protocol = number(values.get(nl.FRA_PROTOCOL, b""))
                if (table, protocol) == (self._identity.table, self._identity.protocol):
                    found.add(Rule(family, number(values.get(nl.FRA_PRIORITY, b""))))
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
        table = self._identity.table
        body = _RULE.pack(_AF[rule.family], 0, 0, 0, nl.RT_TABLE_UNSPEC, nl.FR_ACT_TO_TBL, 0)
        body += u32(nl.FRA_TABLE, table) + u32(nl.FRA_PRIORITY, rule.priority)
        body += u8(nl.FRA_PROTOCOL, self._identity.protocol)
        what = f"{verb} rule {rule.priority} lookup {table} of IPv{rule.family}"
        self._socket.request(kind, flags, body, what=what)


def our_rules(identity: RoutingIdentity) -> set[Rule]:
    """Return the rules that lead both families into the table of *identity*."""
    return {Rule(family, identity.rule_priority) for family in _AF}


def sync_rules(desired: set[Rule], rules: Rules) -> dict[Rule, KernelError]:
    """Make *rules* hold exactly *desired*; return what the kernel refused."""
    changes = plan({rule: rule for rule in desired}, {rule: rule for rule in rules.read()})
    return apply(changes, lambda rule, _: rules.put(rule), rules.remove)
