"""How a process that runs for long logs: two options that all such commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def logging_options(command: _Command) -> _Command:
    """Give *command* the parameters *log_format* and *log_level*, for `telemetry.log.configure`."""
    command = click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning"]),
        default="info",
        show_default=True,
        help="The least severe events that are written.",
    )(command)
    return click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="One event a line on the standard error, for people or for programs.",
    )(command)
