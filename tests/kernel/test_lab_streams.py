"""Traffic through real sockets: losses and stalls that were made are the ones that are found."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chita.errors import EngineError
from chita.lab.faults import LinkDown
from chita.lab.faults_underlay import break_underlay, mend_underlay
from chita.lab.streams import Plan, Stream, Traffic, Transfer
from lab_worlds import Standing, node, standing, underlay, world
from network_namespace import needs_root

pytestmark = [pytest.mark.kernel, needs_root, pytest.mark.slow]

TWO_NODES = world(
    underlay("aws", provider="aws", privateCIDRs=["10.0.0.0/24", "fd00:a::/64"]),
    node("one", "aws"),
    node("two", "aws"),
)
ADDRESSES = {4: "10.0.0.11", 6: "fd00:a::b"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing(TWO_NODES, tmp_path_factory.mktemp("streams")) as standing_lab:
        yield standing_lab


def stream(lab: Standing, family: int, **changes: object) -> Stream:
    """Return a stream from ``two`` to ``one``."""
    fields = {
        "name": f"v{family}",
        "source_namespace": str(lab.path("two")),
        "destination_namespace": str(lab.path("one")),
        "destination": ADDRESSES[family],
        "port": 7000 + family,
        "per_second": 500,
    }
    return Stream(**{**fields, **changes})  # type: ignore[arg-type]


def cut(lab: Standing, seconds: float) -> float:
    """Pull the cable of ``one`` for at least *seconds*; return for how long it was out."""
    fault = LinkDown("one")
    break_underlay(fault, lab.topology)
    started = time.monotonic()
    time.sleep(seconds)  # how long it is out is what is measured
    mend_underlay(fault, lab.topology)
    return time.monotonic() - started


def test_a_cut_cable_is_a_gap_of_its_length(lab: Standing) -> None:
    with Traffic(Plan(streams=(stream(lab, 4), stream(lab, 6)))) as traffic:
        out_s = cut(lab, 0.3)
        # IPv6 looks for its neighbours anew: wait for it, as a gap without an end is none.
        with Traffic(Plan(streams=(stream(lab, 6, name="again", port=7016),))):
            results = traffic.stop()

    for result in results.streams:
        assert 0.25 <= result.longest_gap_s <= out_s + 2, result
        assert result.lost >= 100, result
        assert result.sent > result.lost
        assert 0 == result.duplicates == result.reordered


def test_a_stalled_transfer(lab: Standing) -> None:
    """TCP waits and goes on; the stall is at least as long as the cable was out."""
    transfer = Transfer(
        name="tcp",
        source_namespace=str(lab.path("two")),
        destination_namespace=str(lab.path("one")),
        destination=ADDRESSES[4],
        port=7100,
    )
    with Traffic(Plan(transfers=(transfer,))) as traffic:
        cut(lab, 0.3)
        (result,) = traffic.stop().transfers

    assert 0.25 <= result.longest_stall_s
    assert result.received_bytes > 100_000
    assert "" == result.broken


def test_what_never_arrives_is_said(lab: Standing) -> None:
    nowhere = stream(lab, 4, destination="10.0.0.99", name="to nowhere")
    with (
        pytest.raises(EngineError, match="nothing arrived of to nowhere"),
        Traffic(Plan(streams=(nowhere,)), patience_s=0.5),
    ):
        pass
