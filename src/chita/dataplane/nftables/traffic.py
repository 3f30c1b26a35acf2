"""How much leaves for other nodes, counted by the kernel in a table of its own.

Counters of tunnels show no pairs behind relays, nor do statistics of nexthop groups, which stand
for a location. Here each packet that leaves by the transit device or by a tunnel of ours is counted
under the block, or the mesh address, that it goes to. In large fabrics only.

::

    postrouting 200 leaving   oifname chita-transit, chita-wg*: goto to
                    to        to a mesh address: update @to4 { ip daddr counter }
                              else:              update @to4 { ip daddr & /26 counter }

It never drops, and is no part of the table that enforces policy: should it be refused, policy
stands. All in ``inet chita-traffic`` is ours.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator, Mapping

import msgspec

from chita.dataplane.netlink.message import attribute, attributes, nested, string, text
from chita.dataplane.nftables.attributes import Flag, Message, long, number
from chita.dataplane.nftables.elements import TYPE_BYTES, TYPE_NUMBER
from chita.dataplane.nftables.expressions import encode_rule
from chita.dataplane.nftables.nfnetlink import InterruptedDumpError, Nfnetlink
from chita.dataplane.nftables.objects import (
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    Accept,
    Chain,
    ChainType,
    Compare,
    Field,
    Goto,
    Hook,
    Rule,
    Tally,
)
from chita.dataplane.nftables.sets import ADDRESS_TYPE, FAMILIES
from chita.dataplane.nftables.wire import Encoded, chain_attributes
from chita.errors import KernelError
from chita.model.net import Address, Cidr, Family

TRAFFIC_TABLE = "chita-traffic"

LAST = 200
"""After translation of addresses (100), so that the destination is the one that is sent to."""

DESTINATIONS = 16384
"""At most so many are counted of each family; what comes on top goes uncounted."""
FORGOTTEN_S = 60
"""A destination that nothing was sent to for so long is counted from nothing again."""

_DYNAMIC, _TIMEOUT = 0x20, 0x10
"""NFT_SET_EVAL, NFT_SET_TIMEOUT (enum nft_set_flags)."""
_SETS: dict[Family, str] = {4: "to4", 6: "to6"}
_PROTOCOL: dict[Family, tuple[int, Field]] = {
    4: (NFPROTO_IPV4, Field.IP_DADDR),
    6: (NFPROTO_IPV6, Field.IP6_DADDR),
}
_TABLE = text(1, TRAFFIC_TABLE)
_WHAT = f"nftables table inet {TRAFFIC_TABLE}"
_TRIES = 3


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """What is told apart."""

    devices: tuple[str, ...]
    """What counts leaves by one of these; a name may end in ``*``."""
    mesh: tuple[Cidr, ...]
    """Where each address is a node by itself."""
    prefixes: tuple[tuple[Family, int], ...]
    """Length of the networks that are told apart elsewhere, for each family that is counted."""


def chains(counting: Counting) -> tuple[Chain, ...]:
    """Return the chains that count, each after those it names."""
    rules: list[Rule] = []
    for family, prefix in counting.prefixes:
        protocol, destination = _PROTOCOL[family]
        own = Compare(Field.NFPROTO, protocol)
        whole = Tally(destination, 8 * TYPE_BYTES[ADDRESS_TYPE[family]], _SETS[family])
        rules += [
            Rule((own, Compare(destination, net), whole, Accept()), "to a node")
            for net in counting.mesh
            if net.family == family
        ]
        rules.append(Rule((own, Tally(destination, prefix, _SETS[family])), "to a block"))
    leaving = tuple([
        Rule((Compare(Field.OIFNAME, device), Goto("to")), "leaves for another node")
        for device in counting.devices
    ])  # fmt: skip
    hook = Hook(ChainType.FILTER, "postrouting", LAST)
    return Chain("to", tuple(rules)), Chain("leaving", leaving, hook)


class TrafficTable:
    """The table in the kernel. It works in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._netlink = Nfnetlink()

    def replace(self, counting: Counting) -> None:
        """Count so from now on, from nothing.

        Raises:
            KernelError: refused; what counted before still does.
        """
        self._netlink.commit_messages(list(_messages(counting)), what=f"replace {_WHAT}")

    def remove(self) -> None:
        """Count no more; writes nothing where nothing counts.

        Raises:
            KernelError: refused.
        """
        if not self._is_there():
            return
        removal: Encoded = (Message.DELTABLE, 0, _TABLE)
        self._netlink.commit_messages([removal], what=f"remove {_WHAT}")

    def read(self) -> dict[Address, int] | None:
        """Return the bytes sent to each destination, by its first address; None: nothing counts.

        Raises:
            KernelError: it cannot be read.
        """
        found: dict[Address, int] = {}
        try:
            for name in _SETS.values():
                found |= self._counters(name)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return found

    def close(self) -> None:
        """Close the door to the kernel; the table stays."""
        self._netlink.close()

    def _counters(self, name: str) -> Mapping[Address, int]:
        for attempt in itertools.count(1):
            try:
                dump = self._netlink.dump(
                    Message.GETSETELEM, _TABLE + text(2, name), what=f"read {_WHAT} set {name}"
                )
                return dict(each for bodies in dump for body in bodies for each in _counted(body))
            except InterruptedDumpError:
                if attempt == _TRIES:
                    raise
        raise AssertionError("unreachable")

    def _is_there(self) -> bool:
        try:
            self._netlink.get(Message.GETTABLE, _TABLE, what=f"read {_WHAT}")
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True


def _messages(counting: Counting) -> Iterator[Encoded]:
    """Yield what makes the table, whatever there was before."""
    yield Message.NEWTABLE, Flag.CREATE, _TABLE
    yield Message.DELTABLE, 0, _TABLE
    yield Message.NEWTABLE, Flag.CREATE, _TABLE
    ids = itertools.count(1)
    for family in FAMILIES:
        yield Message.NEWSET, Flag.CREATE | Flag.EXCL, _set(family, next(ids))
    for chain in chains(counting):
        attributes_ = chain_attributes(chain, TRAFFIC_TABLE)
        yield Message.NEWCHAIN, Flag.CREATE | Flag.EXCL, attributes_
        for rule in chain.rules:
            encoded = encode_rule(chain.name, rule, ids, TRAFFIC_TABLE)
            yield Message.NEWRULE, Flag.CREATE | Flag.APPEND, encoded.attributes


def _set(family: Family, set_id: int) -> bytes:
    kind = ADDRESS_TYPE[family]
    return b"".join(
        (
            _TABLE,
            text(2, _SETS[family]),
            number(3, _DYNAMIC | _TIMEOUT),
            number(4, TYPE_NUMBER[kind]),  # NFTA_SET_KEY_TYPE
            number(5, TYPE_BYTES[kind]),  # NFTA_SET_KEY_LEN
            nested(9, number(1, DESTINATIONS)),  # NFTA_SET_DESC { SIZE }
            number(10, set_id),  # NFTA_SET_ID
            long(11, 1000 * FORGOTTEN_S),  # NFTA_SET_TIMEOUT, ms
            attribute(13, bytes((0, 4)) + (2).to_bytes(4, "little")),  # as of every set of ours
        )
    )


def _counted(body: bytes) -> Iterator[tuple[Address, int]]:
    """Yield the destinations in one answer with their bytes."""
    # NFTA_SET_ELEM_LIST_ELEMENTS { NFTA_LIST_ELEM { KEY { VALUE }, EXPR { NAME, DATA } } }
    for kind, listed in attributes(body, 4):
        if kind != 3:
            continue
        for _, element in attributes(listed):
            parts = dict(attributes(element))
            expression = dict(attributes(parts.get(7, b"")))
            if 1 not in parts or string(expression.get(1, b"")) != "counter":
                continue
            ((_, key),) = attributes(parts[1])
            counter = dict(attributes(expression.get(2, b"")))
            sent_bytes = int.from_bytes(counter.get(1, b""))  # NFTA_COUNTER_BYTES
            yield Address.from_packed(key), sent_bytes
