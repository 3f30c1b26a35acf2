"""Labs for scenarios: of their own name and directory, so that a user's lab is not disturbed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from chita.lab.cluster import Lab
from chita.lab.layout import Layout
from chita.lab.world import DEFAULT_WORLD, read_world

EXAMPLES = Path(__file__).parents[1] / "examples"
PREFIX = "chita-ts-"
LAYOUT = Layout(directory=Path("/run/chita-lab-scenario"), api_port=16443, prefix=PREFIX)


class Quiet:
    """Hears of steps and says nothing."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, detail: str, seconds: float) -> None:
        """It is done."""


def make_lab(*files: Path) -> Lab:
    """Return a lab, not yet up, of the worlds *files*."""
    world = read_world(files or [DEFAULT_WORLD])
    assert not world.problems
    return Lab(world, LAYOUT, Quiet())


def namespaces() -> list[str]:
    """Return the names of the scenario lab's namespaces."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line.startswith(PREFIX)]
