"""``chita node``: hosts come into the cluster and leave it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chita.cli.commands.export_peer import export_peer
from chita.cli.connection import connected, kubeconfig_option

if TYPE_CHECKING:
    from chita.api.client import ApiClient

_TOKENS = "/chita/v1/tokens"
_STATE_DIR = Path("/var/lib/chita")


@click.group()
def node() -> None:
    r"""Bring hosts into the cluster.

    \b
    Example:
        chita node token
    """


node.add_command(export_peer)


@node.command()
@click.option(
    "--ttl",
    type=click.IntRange(min=60),
    default=86_400,
    show_default=True,
    help="How long the token is accepted, seconds.",
)
@click.option(
    "--server",
    default="",
    help="URL at which the host reaches the server; else the one of your credentials.",
)
@kubeconfig_option
def token(ttl: int, server: str, kubeconfig: Path | None) -> None:
    r"""Print the command that brings a host into the cluster.

    It holds a new join token: who has it can become a node until it expires.

    \b
    Example:
        chita node token --server https://198.18.0.10:6443
    """
    from chita.agent.membership import fingerprint

    async def act(client: ApiClient) -> tuple[str, str, str]:
        answer = await client.post(_TOKENS, {"ttlSeconds": ttl})
        config = client.config
        return str(answer["token"]), config.server, fingerprint(config.ca_pem)

    secret, url, ca_hash = connected(kubeconfig, act)
    click.echo(f"chita node join {server or url} --token {secret} --ca-hash {ca_hash}")


@node.command()
@click.argument("server")
@click.option("--token", envvar="CHITA_JOIN_TOKEN", required=True, help="As printed by `token`.")
@click.option("--ca-hash", required=True, help="Fingerprint by which the server is known.")
@click.option(
    "--psk-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
    help="Pre-shared key of all nodes, where the cluster has one; it is read at each start.",
)
@click.option("--name", default="", help="The node's name; else the host's, in lower case.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=_STATE_DIR,
    show_default=True,
    help="Where keys and certificate are kept; made with mode 0700.",
)
def join(  # noqa: PLR0913, PLR0917 - one parameter an option
    server: str, token: str, ca_hash: str, psk_file: Path | None, name: str, state_dir: Path
) -> None:
    r"""Make this host a member of the cluster whose server is at URL SERVER.

    Without Kubernetes: a virtual machine or bare metal gets an address on the mesh, reaches pods
    and is reached by them. Its Node has the label chita.dev/host=external, and so has the
    HostEndpoint that it gets, by which policies select it. Afterwards `chita agent` needs no
    options. Joining again changes nothing.

    \b
    Example:
        chita node join https://198.18.0.10:6443 --token T --ca-hash sha256:...
    """
    import asyncio

    from chita.agent.identity import api_config, preshared_key
    from chita.agent.membership import Membership, remember, verified_authority
    from chita.agent.settings import AgentSettings
    from chita.model.node import EXTERNAL

    name = name or socket.gethostname().lower()
    server = server.rstrip("/")
    authority_pem = verified_authority(server, ca_hash)
    if psk_file is not None:
        preshared_key(psk_file)
    membership = Membership(name, server, str(psk_file or ""))
    settings = AgentSettings(
        node=name,
        server=server,
        ca_file=remember(state_dir, membership, authority_pem),
        join_token=token,
        host=EXTERNAL,
        state_dir=state_dir,
    )
    asyncio.run(api_config(settings))
    option = "" if state_dir == _STATE_DIR else f" --state-dir {state_dir}"
    click.echo(f"{name} is a member of {server}")
    click.echo(f"start its agent: chita agent{option}", err=sys.stdout.isatty())
