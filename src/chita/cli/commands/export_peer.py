"""``chita node export-peer``: a WireGuard configuration for a machine that cannot run the agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chita.cli.connection import connected, kubeconfig_option, running_cluster
from chita.errors import ChitaError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chita.api.client import ApiClient
    from chita.model.cluster import ClusterState
    from chita.model.static_peer import StaticPeer


@click.command("export-peer")
@click.argument("name")
@click.option("--gateway", default="", help="The node that it dials; needed for a new peer.")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    help="Its own address in the fabric, one of each family; else a free one of each.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    metavar="CIDR",
    help="A network behind it that it routes; may be repeated.",
)
@click.option(
    "--keepalive",
    type=click.IntRange(0, 65535),
    help="Seconds between its keepalives, so that a NAT keeps it open; 0: none. Else 25.",
)
@click.option("--public-key", default="", help="Its public key, if it has a key pair already.")
@click.option("--new-key", is_flag=True, help="Give a peer that exists a new key pair.")
@click.option(
    "--also",
    multiple=True,
    metavar="CIDR",
    help="A further network that it is to reach, such as that of Services; may be repeated.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file for the configuration, mode 0600; else the standard output.",
)
@kubeconfig_option
def export_peer(  # noqa: PLR0913, PLR0917 - one parameter an option
    name: str,
    gateway: str,
    addresses: Sequence[str],
    networks: Sequence[str],
    keepalive: int | None,
    public_key: str,
    new_key: bool,  # noqa: FBT001 - click
    also: Sequence[str],
    output: Path | None,
    kubeconfig: Path | None,
) -> None:
    r"""Print what machine NAME needs to be a plain WireGuard peer of the fabric: for wg-quick.

    A router, a phone, an appliance. Its key pair is made here and the private key goes nowhere but
    into what is printed. The StaticPeer object is created unless it exists; of one that exists the
    configuration is made anew, without the private key, which the machine has.

    \b
    Example:
        chita node export-peer phone --gateway aws-1 --output phone.conf
    """
    import msgspec

    from chita.api.kinds import CHITA
    from chita.convert.static_peer import static_peer_object
    from chita.fabric.static_peers import configuration, exported, gateway_failure
    from chita.model.net import Cidr, collapse

    if output is not None and output.exists():
        raise InputError(f"{output} exists, and may hold a key that is nowhere else: name another")
    cluster = running_cluster(kubeconfig)
    known = cluster.static_peers.get(name)
    private_key = ""
    if not public_key and (known is None or new_key):
        private_key, public_key = _key_pair()
    asked = _Asked(gateway, tuple(addresses), tuple(networks), keepalive, public_key)
    peer = _new(cluster, name, asked) if known is None else _changed(known, asked)
    failure = gateway_failure(cluster, peer)
    if failure is not None:
        raise InputError(f"StaticPeer {name}: {failure.message}; {failure.mend}")
    said = exported(cluster, peer)
    further = [Cidr.parse(text) for text in also]
    said = msgspec.structs.replace(said, allowed=tuple(collapse([*said.allowed, *further])))
    peer = msgspec.structs.replace(peer, exported=said)
    _check(cluster, peer)

    async def put(client: ApiClient) -> None:
        obj = static_peer_object(peer)
        if known is None:
            await client.create(obj)
        elif peer != known:
            body = {"spec": obj["spec"], "status": obj["status"]}
            await client.patch(CHITA["StaticPeer"], name, body)

    text = configuration(cluster, peer, said, private_key)
    _written(output, text)
    try:
        connected(kubeconfig, put)
    except ChitaError:
        if output is not None:
            output.unlink(missing_ok=True)
        raise
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{output}: bring it to {name}; it dials {peer.gateway} at {said.endpoint}")


class _Asked:
    """What the options say of the peer; empty or None: nothing."""

    def __init__(
        self,
        gateway: str,
        addresses: tuple[str, ...],
        networks: tuple[str, ...],
        keepalive_s: int | None,
        public_key: str,
    ) -> None:
        from chita.model.net import Address, Cidr

        self.gateway = gateway
        self.addresses = tuple(map(Address.parse, addresses))
        self.networks = tuple(map(Cidr.parse, networks))
        self.keepalive_s = keepalive_s
        self.public_key = public_key


def _new(cluster: ClusterState, name: str, asked: _Asked) -> StaticPeer:
    from chita.fabric.static_peers import dialable_gateways, free_addresses
    from chita.model.static_peer import StaticPeer

    if not asked.gateway:
        choice = ", ".join(sorted(dialable_gateways(cluster))) or "none that can be dialled yet"
        raise InputError(f"which node does {name} dial? --gateway; there are {choice}")
    return StaticPeer(
        name=name,
        public_key=asked.public_key,
        addresses=asked.addresses or free_addresses(cluster, name),
        networks=asked.networks,
        gateway=asked.gateway,
        keepalive_s=25 if asked.keepalive_s is None else asked.keepalive_s,
    )


def _changed(known: StaticPeer, asked: _Asked) -> StaticPeer:
    """Return *known* with what is asked otherwise."""
    import msgspec

    said: dict[str, object] = {
        "gateway": asked.gateway,
        "addresses": asked.addresses,
        "networks": asked.networks,
        "public_key": asked.public_key,
    }
    news = {field: value for field, value in said.items() if value}
    if asked.keepalive_s is not None:
        news["keepalive_s"] = asked.keepalive_s
    return msgspec.structs.replace(known, **news)


def _check(cluster: ClusterState, peer: StaticPeer) -> None:
    """Refuse what would not be let in, before anything is written.

    Raises:
        InputError: it claims what is somebody else's, or an address that nobody can have.
    """
    from chita.convert.static_peer import static_peer_object
    from chita.model.static_claims import clashes_of
    from chita.model.validate.objects import validate

    for problem in validate(static_peer_object(peer)):
        raise InputError(f"StaticPeer {peer.name}: {problem.field}: {problem.message}")
    for clash in clashes_of(cluster, peer):
        raise InputError(
            f"StaticPeer {peer.name}: {clash.what} belongs to {clash.other} too; choose another"
        )


def _key_pair() -> tuple[str, str]:
    """Return a new private key and its public one."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from chita.fabric.keys import private_key_text, public_key

    private = private_key_text(X25519PrivateKey.generate())
    return private, public_key(private)


def _written(output: Path | None, text: str) -> None:
    """Write the file *output*, if there is to be one, for its owner's eyes alone."""
    from chita.api.private_file import write_private

    if output is None:
        return
    try:
        write_private(output, text.encode())
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}; name a file that can be written") from error
