"""``chita lab``: a whole hybrid cluster on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chita.cli.commands.lab_fault import fault
from chita.cli.running_lab import running_lab

if TYPE_CHECKING:
    from chita.lab.world import World

_WORLD = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="World file; repeat for more. Without: the default hybrid shop.",
)
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")


@click.group()
def lab() -> None:
    r"""Run a whole hybrid cluster on this machine, in network namespaces.

    Nothing outside the namespaces is touched, and no packet leaves the machine. Needs root.

    \b
    Example:
        chita lab up
    """


class _Steps:
    """Prints each step of the lab with its time."""

    def started(self, step: str) -> None:
        """Show what is being waited for, where somebody watches."""
        if sys.stderr.isatty():
            click.echo(f"  ... {step}", err=True, nl=False)

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """Print what a step did and how long it took."""
        back = "\r" if sys.stderr.isatty() else ""
        click.echo(f"{back}  ok  {step:<12} {detail:<58} {seconds:5.1f} s", err=True)


@lab.command()
@_WORLD
def up(files: Sequence[Path]) -> None:
    r"""Bring the lab up; one that runs already is replaced.

    \b
    Example:
        chita lab up -f examples/single-cloud.yaml
    """
    from chita.lab.cluster import Lab
    from chita.lab.layout import Layout
    from chita.lab.world import DEFAULT_WORLD, read_world

    world = read_world(files or [DEFAULT_WORLD])
    _print_notices(world)
    running = Lab(world, Layout(), _Steps())
    for problem in running.topology.problems:
        click.echo(f"problem: {problem}", err=True)
    running.up([str(file.resolve()) for file in files])
    for refused in running.refused:
        click.echo(f"problem: {refused}", err=True)
    click.echo(f"\n  export KUBECONFIG={running.layout.kubeconfig}", err=True)
    click.echo("  chita lab test      tries every flow; chita lab down removes the lab", err=True)


@lab.command()
def down() -> None:
    """Remove every trace of the lab, also of one that crashed."""
    from chita.lab.layout import Layout
    from chita.lab.removal import remove_everything
    from chita.lab.state import StateFile

    removal = remove_everything(StateFile(Layout().directory))
    click.echo(f"removed {len(removal.namespaces)} namespaces", err=True)


@lab.command()
@_OUTPUT
def status(output: str) -> None:
    """Say which parts run and how the agents are."""
    running = running_lab()
    report = running.describe()
    if output == "json":
        click.echo(json.dumps(report, indent=2))
        return
    for name, value in report["processes"].items():
        agent = report["agents"].get(name.removeprefix("agent-"), {})
        detail = (
            f"{'in sync' if agent['in_sync'] else 'behind'}, {agent['endpoints']} pods, "
            f"{agent['rss_bytes'] / 1e6:.0f} MB"
            if "in_sync" in agent
            else ""
        )
        click.echo(f"{name:<20} {value:<12} {detail}")
    for made in report["faults"]:
        click.echo(f"fault: {made}")


@lab.command()
@_OUTPUT
@click.option("--svg", type=click.Path(path_type=Path), help="Write the report as a picture, too.")
def test(output: str, svg: Path | None) -> None:
    r"""Try every flow on the wire; exit 1 when one disagrees with the model.

    \b
    Example:
        chita lab test -o json
    """
    import msgspec
    from rich.console import Console

    from chita.lab.report import picture, print_report
    from chita.lab.trial import run_trials

    report = run_trials(running_lab())
    if output == "json":
        click.echo(msgspec.json.encode(report))
    else:
        console = Console(record=svg is not None, width=None if svg is None else 132)
        print_report(report, console)
        if svg is not None:
            svg.write_text(picture(console, "chita lab test"))
    sys.exit(1 if report.disagreements or report.broken_links else 0)


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("place")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(place: str, command: Sequence[str]) -> None:
    r"""Run a command inside a node, a router or a pod (namespace/name).

    \b
    Example:
        chita lab exec aws-1 -- ip route show table all
    """
    from chita.lab.netns import netns_path

    running = running_lab()
    namespace = netns_path(running.netns_of(place))
    sys.exit(subprocess.call(["nsenter", f"--net={namespace}", "--", *command]))


lab.add_command(fault)


@lab.command()
def heal() -> None:
    """Mend every fault that was made."""
    from chita.lab.faulty import heal_lab

    for mended in heal_lab(running_lab()):
        click.echo(f"mended: {mended}")


def _print_notices(world: World) -> None:
    for problem in world.problems:
        click.echo(f"problem: {problem}", err=True)
    for notice in world.notices:
        click.echo(f"notice: {notice}", err=True)
