"""The page that `lab test` prints: small, whole, and loud about what disagrees."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from chita.lab.matrix import Verdict
from chita.lab.report import FlowLine, LinkLine, NodeLine, Report, picture, print_report
from goldens import assert_golden

NODES = [
    NodeLine(
        name="aws-1", location="aws-x", private="10.0.0.11", public="198.18.1.1", pods=2,
        rss_mb=60.0, is_gateway=True,
    ),
    NodeLine(
        name="os-1", location="os-z", private="10.2.0.11", public="", pods=1, rss_mb=60.0,
        is_gateway=False,
    ),
]  # fmt: skip
LINK = LinkLine(
    source="aws-1", destination="os-1", kind="wireguard", relay=None, mtu_bytes=1440,
    rtt_ms=1.25, mtu_ok=True, reason="another location",
)  # fmt: skip
BACK = msgspec.structs.replace(LINK, source="os-1", destination="aws-1")
FLOW = FlowLine(
    source="shop/web", destination="data/db", source_group="shop", destination_group="data",
    address="10.244.1.2", family=4, protocol="TCP", port=5432, expected=Verdict.ALLOW,
    seen=Verdict.ALLOW, outcome="Allowed", rtt_ms=1.5,
)  # fmt: skip
DENIED = msgspec.structs.replace(
    FLOW, source="data/db", source_group="data", expected=Verdict.DENY, seen=Verdict.DENY,
    outcome="Silent", rtt_ms=None,
)  # fmt: skip
WRONG = msgspec.structs.replace(
    FLOW, source="shop/cart", seen=Verdict.DENY, outcome="Silent", rtt_ms=None,
    why="egress: allow by default/shop/out\ningress: allow by default/data/in",
)  # fmt: skip


def report(flows: list[FlowLine], links: list[LinkLine]) -> Report:
    return Report(nodes=NODES, links=links, flows=flows, seconds=2.5)


def text(shown: Report) -> str:
    console = Console(file=io.StringIO(), width=100, record=True)
    print_report(shown, console)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


def test_all_well() -> None:
    assert_golden("lab/report-all-well.txt", text(report([FLOW, DENIED], [LINK, BACK])))


def test_disagreement() -> None:
    """The flow, what was expected, what was seen, and the whole explanation; links that fail."""
    lost = msgspec.structs.replace(LINK, rtt_ms=None, mtu_ok=None)
    small = msgspec.structs.replace(BACK, mtu_ok=False)

    assert_golden("lab/report-disagreement.txt", text(report([FLOW, DENIED, WRONG], [lost, small])))


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        pytest.param({}, False, id="well"),
        pytest.param({"kind": "none"}, True, id="no-way"),
        pytest.param({"rtt_ms": None}, True, id="no-answer"),
        pytest.param({"mtu_ok": False}, True, id="mtu-too-large"),
        pytest.param({"mtu_ok": None}, False, id="mtu-not-tried"),
    ],
)
def test_broken_links(link: dict[str, object], *, is_broken: bool) -> None:
    made = msgspec.structs.replace(LINK, **link)

    assert is_broken is bool(report([], [made]).broken_links)


def test_flows_that_nobody_can_try_are_counted() -> None:
    """A kernel without SCTP proves nothing about it, and that is said."""
    shown = msgspec.structs.replace(report([FLOW], [LINK, BACK]), untried={"SCTP": 36})

    assert "36 flows not tried: this kernel has no SCTP" in text(shown)


def test_what_nobody_can_decide_is_counted_with_its_reason() -> None:
    shown = msgspec.structs.replace(report([FLOW], [LINK, BACK]), undecided={"no NAT": 2})

    assert "2 flows not tried: no NAT" in text(shown)


def test_disagreements_are_those_alone() -> None:
    assert [WRONG] == report([FLOW, WRONG, DENIED], []).disagreements


def test_twenty_disagreements_are_shown_and_the_rest_counted() -> None:
    many = [msgspec.structs.replace(WRONG, port=number) for number in range(1, 26)]

    assert "... and 5 more" in text(report(many, []))


def test_the_picture_calls_nobody() -> None:
    """A page in a repository must not load fonts from the web."""
    console = Console(file=io.StringIO(), width=100, record=True)
    print_report(report([FLOW], [LINK]), console)

    svg = picture(console, "title")

    assert "<svg" in svg
    assert "font-face" not in svg
    assert "url(http" not in svg
