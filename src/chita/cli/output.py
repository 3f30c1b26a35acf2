"""How commands print: ``-o json`` is the contract, text is for eyes."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

import click
import msgspec

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Output(StrEnum):
    """What ``-o`` may be."""

    TEXT = "text"
    JSON = "json"


def output_option(command: _Command) -> _Command:
    """Give *command* the option ``-o``, as its parameter *output*."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(Output, case_sensitive=False),
        default=Output.TEXT,
        show_default=True,
        help="How to print the answer; json is stable.",
    )(command)


def print_json(value: Any) -> None:
    """Print *value*, which msgspec can encode, as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
