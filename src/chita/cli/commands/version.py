"""``chita version``: which Chita this is."""

from __future__ import annotations

import platform

import click

import chita
from chita.cli.output import Output, output_option, print_json


@click.command()
@output_option
def version(output: Output) -> None:
    r"""Print the version of Chita, of Python and of the kernel.

    \b
    Example:
        chita version -o json
    """
    found = {
        "chita": chita.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    match output:
        case Output.JSON:
            print_json(found)
        case Output.TEXT:
            for name, value in found.items():
                click.echo(f"{name:<8}{value}")
