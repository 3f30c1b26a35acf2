"""The command line's page of the documentation, made from the commands themselves.

``python -m chita.cli.reference > docs/reference/cli.md`` writes it; a test fails when it is not
what the commands say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from chita.cli.main import COMMANDS, root

_HEAD = """\
# The command line

Made by `python -m chita.cli.reference` from the commands' own help; a test compares the two.
`-o json` is stable and what scripts should read; text is for eyes.
"""
_WIDTH = 96


def reference_page() -> str:
    """Return the page: every command's help, in the order of the table."""
    parts = [_HEAD, _section("chita", root, None)]
    context = _context("chita", root, None)
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        parts += _sections(name, command, context)
    return "\n".join(parts)


def _sections(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """Yield the section of a command, and those of its own commands."""
    yield _section(name, command, parent)
    if isinstance(command, click.Group):
        context = _context(name, command, parent)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(inner, found, context)


def _section(name: str, command: click.Command, parent: click.Context | None) -> str:
    context = _context(name, command, parent)
    return f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"


def _context(name: str, command: click.Command, parent: click.Context | None) -> click.Context:
    settings = command.context_settings
    return click.Context(command, info_name=name, parent=parent, terminal_width=_WIDTH, **settings)


if __name__ == "__main__":
    sys.stdout.write(reference_page())
