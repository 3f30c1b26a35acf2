"""What can be known of a table without understanding its rules: enough to tell it is right.

A rule's comment carries a fingerprint of the rule as we wrote it (``render.rule_comment``). The
kernel keeps it untouched, while the rule itself comes back as whatever this version of nft makes
of the kernel's expressions. So chains are compared by comments, sets and maps by their elements.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chita.dataplane.nftables.objects import Chain, Hook, Ruleset, Set, Verdict
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
        chains={name: _chain(chain) for name, chain in ruleset.chains.items()},
    )


def _chain(chain: Chain) -> ChainOutline:
    return ChainOutline(chain.hook, tuple(rule_comment(rule) for rule in chain.rules))
