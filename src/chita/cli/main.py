"""``chita``: the root command, and the table of its commands.

A command's module is imported when the command runs, so that ``chita --help`` and completion stay
fast however heavy a command is. Errors that a user can mend end here, as diagnostics.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

import chita
from chita.errors import ChitaError

FAILED: Final = 2
"""Exit status of bad usage, unreadable input and whatever could not be done; 1 is an answer."""

INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""


class Entry(NamedTuple):
    """A command: where it is, and its line in ``chita --help``."""

    module: str
    attribute: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "validate": Entry("validate", "validate", "Check manifests; change nothing."),
    "selector": Entry("selector", "selector", "Parse a selector; match labels."),
    "convert": Entry("convert", "convert", "Show Kubernetes policies as v3 policies."),
    "explain": Entry("explain", "explain", "Say whether a flow is allowed, and why."),
    "render": Entry("render", "render", "Print the nftables text a node would hold."),
    "plan": Entry("plan", "plan", "Show what a change would allow and deny."),
    "lab": Entry("lab", "lab", "Run a whole hybrid cluster on this machine."),
    "get": Entry("get", "get", "Show resources."),
    "apply": Entry("apply", "apply", "Create or change the objects of files."),
    "delete": Entry("delete", "delete", "Remove resources."),
    "status": Entry("status", "status", "Say how this node's agent is."),
    "path": Entry("path", "path", "Say how one node reaches another, and why."),
    "links": Entry("links", "links", "List how every node reaches every other."),
    "fabric": Entry("fabric", "fabric", "See and steer the network between nodes."),
    "node": Entry("node", "node", "Bring hosts into the cluster."),
    "agent": Entry("agent", "agent", "Run the agent of this node."),
    "controller": Entry("controller", "controller", "Run the controller of a Kubernetes cluster."),
    "webhook": Entry("webhook", "webhook", "Answer a Kubernetes cluster's admission reviews."),
    "install": Entry("install", "install", "Print the manifests for a Kubernetes cluster."),
    "migrate": Entry("migrate", "migrate", "Take a cluster over from Calico or flannel."),
    "install-node": Entry("install", "install_node", "Install the CNI plugin on this node."),
    "server": Entry("server", "server", "Run the API server."),
    "version": Entry("version", "version", "Print the version."),
}
"""By name, in the order of ``chita --help``."""


def unwrapped(text: str | None) -> str | None:
    r"""Return help whose ``\\b`` lines are click's mark for a paragraph that is not re-wrapped.

    Docstrings are raw (pydocstyle D301), so there it is a backslash and a letter.
    """
    return None if text is None else text.replace("\\b\n", "\b\n")


def _unwrap(command: click.Command) -> None:
    """Mark the paragraphs of a command's help, and of all commands below it."""
    command.help = unwrapped(command.help)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _unwrap(inner)


class LazyGroup(click.Group):
    """A group whose commands are imported only to run them or to show their own help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*, importing it; None when there is none."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"chita.cli.commands.{entry.module}")
        command = getattr(module, entry.attribute)
        assert isinstance(command, click.Command)
        _unwrap(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of commands from the table, importing none of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; print what a user can mend as a diagnostic instead of a traceback."""
        try:
            return super().invoke(ctx)
        except ChitaError as error:
            # Imported here: printing an error may cost what --help must not.
            from chita.cli.diagnostics import print_diagnostic

            print_diagnostic(error)
            sys.exit(FAILED)
        except KeyboardInterrupt:
            click.echo(err=True)
            sys.exit(INTERRUPTED)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(chita.__version__, "--version", prog_name="chita")
def root() -> None:
    r"""Chita: the network of one Kubernetes cluster over many clouds.

    Exits 0 when done or equal, 1 on a negative answer (invalid, denied, differs), 2 on bad usage,
    unreadable input or a failure.

    \b
    Example:
        chita explain -f world.yaml --from shop/web --to shop/db --port 5432
    """


root.help = unwrapped(root.help)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the entry point of the ``chita`` program."""
    root.main(args=arguments, prog_name="chita")
