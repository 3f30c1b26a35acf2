"""The rungs between two nodes, judged: what the records promise against what probes found out.

What was never probed counts as promised, save what needs proof. Of the rungs of WireGuard one is
dialled at a time, for a session has one endpoint: the best until it was answered, the last once it
was not, and while nobody answers all of them in turn.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chita.desired.paths import PathKind, Rung, RungState, Session
from chita.desired.tunnels import Endpoint
from chita.fabric.health import Verdict, WayHealth
from chita.fabric.offers import Offer, Rating, Refusal

_USABLE = (RungState.READY, RungState.USED)


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """The rungs to a node on which no other forwards."""

    rungs: tuple[Rung, ...]
    sessions: tuple[Session, ...] = ()
    """With it, of the newest keys first, whichever rung is used."""
    epoch: int = 0
    """Of the session that the rungs of WireGuard are about."""

    @property
    def best(self) -> Rung | None:
        """The best rung that carries packets, as far as is known."""
        return next((rung for rung in self.rungs if rung.state in _USABLE), None)

    @property
    def promised(self) -> Rung | None:
        """The best rung that the records promise, though probes over it are lost."""
        return next((rung for rung in self.rungs if rung.state is RungState.FAILED), None)


def local_rungs(ratings: Sequence[Rating], local: WayHealth) -> list[Rung]:
    """Return the rungs over the location's own network, which are probed as one way."""
    return [
        _refused(rating)
        if isinstance(rating, Refusal)
        else _judged(rating, local, is_failed=local.verdict is Verdict.DOWN)
        for rating in ratings
    ]


def tunnel_rungs(
    ratings: Sequence[Rating], direct: WayHealth
) -> tuple[list[Rung], Endpoint | None]:
    """Return the rungs of WireGuard, and where the session is dialled."""
    offers = [rating for rating in ratings if isinstance(rating, Offer)]
    tried = _tried(offers, direct)
    rungs: list[Rung] = []
    answered = False
    for rating in ratings:
        if isinstance(rating, Refusal):
            rungs.append(_refused(rating))
        elif rating is tried:
            answered = direct.verdict is Verdict.UP
            rungs.append(_judged(rating, direct, is_failed=direct.verdict is Verdict.DOWN))
        elif direct.verdict is Verdict.DOWN:
            rungs.append(_judged(rating, direct, is_failed=True))
        elif direct.verdict is Verdict.UP and not answered:
            rungs.append(_silent(rating, direct))
        else:
            rungs.append(_judged(rating, _UNTRIED, is_failed=False))
    return rungs, tried.dial if tried is not None and _is_dialled(offers, tried, direct) else None


def _is_dialled(offers: Sequence[Offer], tried: Offer, direct: WayHealth) -> bool:
    """Whether the session is to go to the address of *tried*; else what the device holds stays.

    A session that is up is left alone where it roamed, or while it is not known at which of several
    addresses it stands.
    """
    if direct.verdict is not Verdict.UP:
        return True
    return len(offers) == 1 if direct.outer is None else direct.outer == tried.outer


def _tried(offers: Sequence[Offer], direct: WayHealth) -> Offer | None:
    """Return the offer that the session stands for.

    While it is up, the one whose address the packets come from. An address that nobody published
    is a NAT's, so the last: the session roamed there, and is left alone.
    """
    if not offers:
        return None
    match direct.verdict:
        case Verdict.UNKNOWN:
            return offers[0]
        case Verdict.DOWN:
            # A stream is there only where no UDP passes: the other addresses need no turn.
            is_turned = direct.turn is not None and offers[-1].kind is not PathKind.TCP
            return offers[(direct.turn or 0) % len(offers) if is_turned else -1]
        case Verdict.UP if direct.outer is None:
            return next((offer for offer in offers if not offer.needs_proof), offers[0])
        case Verdict.UP:
            at = (offer for offer in offers if offer.outer == direct.outer)
            return next(at, offers[-1])


def _judged(offer: Offer, health: WayHealth, *, is_failed: bool) -> Rung:
    state, reason = RungState.READY, offer.reason
    if is_failed:
        state, reason = RungState.FAILED, f"{offer.reason}, but {health.reason}"
    elif offer.needs_proof and health.verdict is not Verdict.UP:
        state, reason = RungState.UNPROVEN, f"{offer.reason}, but no answer proved it yet"
    size = offer.mtu_bytes
    if health.mtu_bytes is not None and health.mtu_bytes < size:
        size = health.mtu_bytes
        reason = f"{reason}; no packet above {size} bytes came through"
    return Rung(
        kind=offer.kind,
        state=state,
        reason=reason,
        since_s=health.since_s,
        mtu_bytes=size,
        promised_mtu_bytes=offer.mtu_bytes,
        outer=offer.outer,
        port=offer.port,
    )


def _silent(offer: Offer, direct: WayHealth) -> Rung:
    """Return a rung above the one that answers."""
    where = f"only {direct.outer} answers" if direct.outer is not None else "another answers"
    return Rung(
        kind=offer.kind,
        state=RungState.UNPROVEN if offer.needs_proof else RungState.FAILED,
        reason=f"{offer.reason}, but of its addresses {where}",
        since_s=direct.since_s,
        mtu_bytes=offer.mtu_bytes,
        promised_mtu_bytes=offer.mtu_bytes,
        outer=offer.outer,
        port=offer.port,
    )


def _refused(refusal: Refusal) -> Rung:
    return Rung(kind=refusal.kind, state=RungState.REFUSED, reason=refusal.reason)


_UNTRIED = WayHealth()
