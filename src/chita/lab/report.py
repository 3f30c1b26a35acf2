"""What `lab test` found, as values and as a page for eyes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import msgspec
from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chita.lab.matrix import Verdict

_KIND_STYLES = {
    "routed": "green",
    "vxlan": "cyan",
    "wireguard": "blue",
    "relayed": "magenta",
    "none": "bold red",
}
_PATH_MARKS = {"routed": "R", "vxlan": "V", "wireguard": "W", "relayed": "G", "none": "-"}


class NodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One node as its agent describes it."""

    name: str
    location: str
    private: str
    public: str
    """Empty behind a NAT."""
    pods: int
    rss_mb: float
    """Resident memory of the agent, in units of 10**6 bytes."""
    is_gateway: bool


class LinkLine(msgspec.Struct, frozen=True, kw_only=True):
    """The way from one node to another, with what was measured on it."""

    source: str
    destination: str
    kind: str
    relay: str | None
    mtu_bytes: int
    rtt_ms: float | None
    """None: no answer."""
    mtu_ok: bool | None
    """Whether a packet of exactly *mtu_bytes* crossed; None: not tried."""
    reason: str


class FlowLine(msgspec.Struct, frozen=True, kw_only=True):
    """One flow that was tried."""

    source: str
    destination: str
    source_group: str
    destination_group: str
    address: str
    family: int
    protocol: str
    port: int
    expected: Verdict
    seen: Verdict
    outcome: str
    """What happened on the wire, in a word."""
    rtt_ms: float | None
    why: str = ""
    """For a disagreement, the explanation of what was expected."""

    @property
    def agrees(self) -> bool:
        """Whether model and wire say the same."""
        return self.expected is self.seen


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of one run of `lab test`."""

    nodes: list[NodeLine]
    links: list[LinkLine]
    flows: list[FlowLine]
    untried: dict[str, int] = {}
    """How many flows this kernel has no sockets for, by their protocol."""
    undecided: dict[str, int] = {}
    """How many flows nobody can say of what should come of them, by the reason; not tried."""
    seconds: float

    @property
    def disagreements(self) -> list[FlowLine]:
        """Flows where the wire does not do what the model says."""
        return [flow for flow in self.flows if not flow.agrees]

    @property
    def broken_links(self) -> list[LinkLine]:
        """Node pairs without a way, without an answer, or that lose packets of their MTU."""
        return [
            link
            for link in self.links
            if link.kind == "none" or link.rtt_ms is None or link.mtu_ok is False
        ]


def picture(console: Console, title: str) -> str:
    """Return what was printed on *console*, which recorded it, as SVG that loads nothing."""
    svg = console.export_svg(title=title)
    # Rich names fonts on the web; a page in a repository must not call anybody.
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def print_report(report: Report, console: Console) -> None:
    """Print *report* for eyes: clouds, links, the policy matrix, and what disagrees."""
    console.print(_clouds(report))
    console.print(_link_matrix(report))
    console.print(_policy_matrix(report.flows))
    for part in _failures(report):
        console.print(part)
    console.print(_summary(report))


def _clouds(report: Report) -> RenderableType:
    by_location: dict[str, list[NodeLine]] = defaultdict(list)
    for node in report.nodes:
        by_location[node.location].append(node)
    panels = []
    for location, nodes in sorted(by_location.items()):
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        for node in nodes:
            way_in = Text(node.public or "behind NAT", "" if node.public else "dim")
            role = Text("gateway" if node.is_gateway else "", "yellow")
            table.add_row(
                Text(node.name, "bold"), node.private, way_in, _counted(node.pods, "pod"), role
            )
        panels.append(Panel(table, title=location, title_align="left", border_style="cyan"))
    return Columns(panels)


def _link_matrix(report: Report) -> RenderableType:
    names = [node.name for node in report.nodes]
    links = {(link.source, link.destination): link for link in report.links}
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("from \\ to")
    for name in names:
        table.add_column(name, justify="right")
    for source in names:
        table.add_row(source, *(_link_cell(links.get((source, name))) for name in names))
    # Not the table's own title and caption: they are wrapped to its width.
    return Group(
        Text("links: path, round trip in ms / MTU in bytes", "italic"),
        table,
        Text.from_markup(
            "[green]R = routed[/], [cyan]V = VXLAN[/], [blue]W = WireGuard[/], "
            "[magenta]G = relayed by a gateway[/]\n"
        ),
    )


def _link_cell(link: LinkLine | None) -> Text:
    if link is None:
        return Text("·", "dim")
    style = _KIND_STYLES[link.kind]
    if link.rtt_ms is None:
        return Text(f"{_PATH_MARKS[link.kind]} lost", "bold red")
    mtu_style = "bold red" if link.mtu_ok is False else "dim"
    return Text.assemble(
        (f"{_PATH_MARKS[link.kind]} {link.rtt_ms:.1f}", style), (f"/{link.mtu_bytes}", mtu_style)
    )


def _policy_matrix(flows: Sequence[FlowLine]) -> RenderableType:
    sources = list(dict.fromkeys(flow.source_group for flow in flows))
    destinations = list(dict.fromkeys(flow.destination_group for flow in flows))
    counts: Counter[tuple[str, str, Verdict]] = Counter(
        (flow.source_group, flow.destination_group, flow.seen) for flow in flows
    )
    wrong = {(flow.source_group, flow.destination_group) for flow in flows if not flow.agrees}
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("from \\ to")
    for name in destinations:
        table.add_column(name, justify="right")
    for source in sources:
        cells = []
        for destination in destinations:
            allowed = counts[source, destination, Verdict.ALLOW]
            denied = counts[source, destination, Verdict.DENY]
            mark = Text(" !", "bold red") if (source, destination) in wrong else Text("")
            cells.append(_count_cell(allowed, denied) + mark)
        table.add_row(source, *cells)
    return Group(Text("policy: flows allowed / denied, by namespace", "italic"), table)


def _count_cell(allowed: int, denied: int) -> Text:
    if not allowed and not denied:
        return Text("·", "dim")
    return Text.assemble(
        (str(allowed), "green" if allowed else "dim"),
        (" / ", "dim"),
        (str(denied), "red" if denied else "dim"),
    )


def _failures(report: Report) -> Iterable[RenderableType]:
    shown = report.disagreements[:20]
    for flow in shown:
        port = f":{flow.port}" if flow.port else ""
        head = Text.assemble(
            (f"{flow.source} -> {flow.destination} ", "bold"),
            f"({flow.address}) {flow.protocol}{port}: expected ",
            (flow.expected, "bold"),
            ", the wire says ",
            (f"{flow.seen} ({flow.outcome})", "bold red"),
        )
        yield Panel(Group(head, Text(flow.why, "dim")), border_style="red")
    if len(report.disagreements) > len(shown):
        yield Text(f"... and {len(report.disagreements) - len(shown)} more", "red")
    for link in report.broken_links[:20]:
        too_big = f"packets of {link.mtu_bytes} bytes are lost"
        what = "no answer" if link.rtt_ms is None else too_big
        yield Text(
            f"{link.source} -> {link.destination} ({link.kind}): {what}; {link.reason}", "red"
        )


def _summary(report: Report) -> RenderableType:
    allowed = sum(flow.seen is Verdict.ALLOW for flow in report.flows)
    wrong = len(report.disagreements)
    kinds = Counter(link.kind for link in report.links)
    paths = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    nodes = _counted(len(report.nodes), "node")
    good = not wrong and not report.broken_links
    return Panel(
        Group(
            Text(f"{nodes}, {_counted(len(report.links), 'link')} ({paths})"),
            Text.assemble(
                f"{_counted(len(report.flows), 'flow')} tried: ",
                (f"{allowed} allowed", "green"),
                ", ",
                (f"{len(report.flows) - allowed} denied", "red"),
                ", ",
                (_counted(wrong, "disagreement"), "bold red" if wrong else "bold green"),
                f"  in {report.seconds:.1f} s",
            ),
            *(
                Text(f"{_counted(count, 'flow')} not tried: this kernel has no {name}", "yellow")
                for name, count in report.untried.items()
            ),
            *(
                Text(f"{_counted(count, 'flow')} not tried: {why}", "dim")
                for why, count in report.undecided.items()
            ),
        ),
        title="model and wire agree" if good else "model and wire DISAGREE",
        border_style="green" if good else "red",
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
