"""How often ways are probed and how soon their verdicts change: every constant of the prober."""

from __future__ import annotations

import msgspec


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals in seconds, rates in probes a second (hybrid reference 5.4)."""

    used_s: float = 0.2
    """Between probes of a way that carries traffic, or leads to a relay in use."""
    standby_s: float = 1.0
    """Between probes of any other way, while the budget allows."""
    transit_s: float = 0.5
    """Between end-to-end probes through a relay in use, for each location."""
    idle_transit_s: float = 5.0
    """Between those through a relay that is neither in use nor next in order."""
    confirm_s: float = 0.2
    """Between probes from the first loss until the verdict."""
    budget: float = 100.0
    """Probes a second that one node sends at most, whatever their number."""

    losses: int = 3
    """Lost in a row: DOWN."""
    clean_s: float = 10.0
    """Without a loss for so long: UP again."""
    patience_s: float = 0.2
    """The least time an answer may take; slow ways get more."""
    last_patience_s: float = 1.0
    late_s: float = 5.0
    """An answer that comes later than this is not recognised any more."""
    margin: float = 0.2
    """The order of relays changes when one is faster than one before it by this fraction."""

    size_used_s: float = 0.5
    """Between full-size probes of a way with traffic."""
    size_standby_s: float = 10.0
    larger_s: float = 30.0
    """Until larger packets are tried again; twice as long each time in vain."""
    last_larger_s: float = 600.0

    suspect_s: float = 10.0
    """How long a node that did not answer where its neighbours did is asked no more."""


DEFAULT = Timing()
