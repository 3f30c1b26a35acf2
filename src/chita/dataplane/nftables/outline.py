"""What can be known of a table without understanding its rules: enough to tell it is right.

A rule's comment carries a fingerprint of the rule as we wrote it (``render.rule_comment``). The
kernel keeps it untouched, while the rule itself comes back as whatever this version of nft makes
of the kernel's expressions. So chains are compared by comments, sets and maps by their elements.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.dataplane.nftables.objects import (
    Chain,
    Hook,
    Rule,
    Ruleset,
    Set,
    Verdict,
    VerdictMap,
)
from chita.dataplane.nftables.render import rule_comment


class ChainOutline(msgspec.Struct, frozen=True):
    """A chain's place and the comments of its rules, in order."""

    hook: Hook | None
    comments: tuple[str, ...]


class Outline(msgspec.Struct, frozen=True):
    """A table's sets, maps and chains by name."""

    sets: Mapping[str, Set]
    maps: Mapping[str, Mapping[str, Verdict]]
    chains: Mapping[str, ChainOutline]


def outline(ruleset: Ruleset) -> Outline:
    """Return what reading the table back would give if it held *ruleset*."""
    return Outline(
        sets=ruleset.sets,
        maps={name: dict(item.elements) for name, item in ruleset.maps.items()},
        chains={name: chain_outline(chain) for name, chain in ruleset.chains.items()},
    )


def chain_outline(chain: Chain) -> ChainOutline:
    """Return what reading *chain* back would give."""
    return ChainOutline(chain.hook, tuple(rule_comment(rule) for rule in chain.rules))


_UNKNOWN = Rule((), "not what we wrote")


def unknown_chain(name: str, found: ChainOutline) -> Chain:
    """Return a chain at its place whose rules nothing equals, as many as were found."""
    return Chain(name, (_UNKNOWN,) * len(found.comments), found.hook)


def as_ruleset(found: Outline, desired: Ruleset) -> Ruleset:
    """Return *found* as a ruleset to take the difference to *desired* from.

    A chain whose comments are those of the desired one is that chain; any other holds rules that
    nothing equals, so that it is filled anew.
    """
    wanted = outline(desired).chains
    return Ruleset(
        sets=found.sets,
        maps={name: VerdictMap(name, elements) for name, elements in found.maps.items()},
        chains={
            name: desired.chains[name] if wanted.get(name) == chain else unknown_chain(name, chain)
            for name, chain in found.chains.items()
        },
    )
