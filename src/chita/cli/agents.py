"""Agents that answer on this machine: this node's own, and those of a lab that runs here.

Only an agent knows what its probes found out. What no agent here can say is decided from the
published records alone, and commands tell which of the two they print.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from chita.desired.paths import Path as NodePath
from chita.errors import ApiError
from chita.lab.layout import Layout
from chita.model.net import Address
from chita.rpc.client import DEFAULT_SOCKET, ask
from chita.rpc.messages import StatusRequest

_Command = TypeVar("_Command", bound=Callable[..., Any])

LAB_AGENTS = "nodes/*/run/agent.sock"
"""Where a lab's agents answer, below its directory."""


def socket_option(command: _Command) -> _Command:
    """Give *command* the option ``--socket``, as its parameter *socket*."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        help=f"An agent's socket; else {DEFAULT_SOCKET}, and those of a lab that runs here.",
    )(command)


def agent_sockets() -> list[Path]:
    """Return where agents may answer on this machine: this node's first."""
    return [DEFAULT_SOCKET, *sorted(Layout().directory.glob(LAB_AGENTS))]


def statuses(socket: Path | None) -> dict[str, dict[str, Any]]:
    """Return what the agents within reach say of themselves, by node.

    Raises:
        ApiError: *socket* was given, and nobody answers there.
    """
    if socket is not None:
        answers = [ask(socket, StatusRequest())]
    else:
        answers = []
        for path in agent_sockets():
            try:
                answers.append(ask(path, StatusRequest()))
            except ApiError:
                continue  # no agent there, or one that was killed: the others answer
    return {str(answer["node"]): answer for answer in answers}


def node_paths(status: dict[str, Any]) -> dict[str, NodePath]:
    """Return the paths that an agent uses, by the node they lead to."""
    return msgspec.convert(status["paths"], dict[str, NodePath], dec_hook=_address)


def _address(kind: type, value: Any) -> Any:
    if kind is Address:
        return Address.parse(value)
    raise NotImplementedError(f"no {kind.__name__} from JSON")
