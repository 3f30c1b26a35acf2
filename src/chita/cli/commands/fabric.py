"""``chita fabric``: the network between nodes as a whole: how it is, draining, new keys."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chita.cli.agents import socket_option, statuses
from chita.cli.connection import connected, kubeconfig_option, running_cluster
from chita.cli.output import Output, output_option, print_json
from chita.errors import ConflictError, InputError, NotFoundError
from chita.fabric.static_peers import failures

if TYPE_CHECKING:
    from chita.api.client import ApiClient
    from chita.model.cluster import ClusterState
    from chita.model.node import FabricNode

_WEIGHT = "chita.dev/gateway-weight"


@click.group()
def fabric() -> None:
    r"""See and steer the network between nodes.

    \b
    Example:
        chita fabric status
    """


@fabric.command()
@output_option
@socket_option
@kubeconfig_option
def status(output: Output, socket: Path | None, kubeconfig: Path | None) -> None:
    r"""Say how the fabric is: locations, gateways, keys, static peers, and what is wrong.

    Exits 1 when a node has no way to another, an agent reports a problem, or a static peer is not
    let in, or was told what is no longer so.

    \b
    Example:
        chita fabric status -o json
    """
    cluster = running_cluster(kubeconfig)
    agents = statuses(socket)
    report = fabric_report(cluster, agents)
    if output is Output.JSON:
        print_json(report)
    else:
        _print(report)
    is_wrong = any(peer["problems"] for peer in report["staticPeers"])
    sys.exit(1 if report["unreached"] or report["problems"] or is_wrong else 0)


def fabric_report(cluster: ClusterState, agents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what ``chita fabric status -o json`` prints.

    Args:
        cluster: the published records.
        agents: what the agents within reach say, by node.
    """
    members: dict[str, list[FabricNode]] = defaultdict(list)
    for node in cluster.fabric_nodes.values():
        members[node.location].append(node)
    epochs = {node.wireguard_epoch for node in cluster.fabric_nodes.values()}
    held = [node for node in cluster.fabric_nodes.values() if node.wireguard_previous is not None]
    return {
        "locations": {
            location: {
                "nodes": sorted(node.name for node in nodes),
                "gateways": sorted(node.name for node in nodes if node.gateway_weight > 0),
            }
            for location, nodes in sorted(members.items())
        },
        "missing": sorted(cluster.nodes.keys() - cluster.fabric_nodes.keys()),
        "encryption": cluster.setting.encryption,
        "keys": {
            "epoch": cluster.setting.key_epoch,
            "changing": sorted(node.name for node in held)
            + sorted(
                node.name
                for node in cluster.fabric_nodes.values()
                if node.wireguard_epoch < cluster.setting.key_epoch
            ),
            "inUse": sorted(epochs),
        },
        "unreached": [
            {"from": name, "to": path["node"], "reason": path["reason"]}
            for name, agent in sorted(agents.items())
            for path in agent["paths"].values()
            if path["kind"] == "none"
        ],
        "problems": [
            {"node": name, "what": what, "why": why}
            for name, agent in sorted(agents.items())
            for what, why in sorted(agent["problems"].items())
        ],
        "staticPeers": _static_peers(cluster, agents),
        "silent": sorted(cluster.nodes.keys() - agents.keys()),
    }


def _static_peers(cluster: ClusterState, agents: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each static peer with what is wrong, and when its gateway last heard of it."""
    wrong: dict[str, list[dict[str, str]]] = defaultdict(list)
    for failure in failures(cluster):
        found = {"what": failure.kind.value, "why": failure.message, "mend": failure.mend}
        wrong[failure.peer].append(found)
    ages = {
        session["node"]: session["handshake_age_s"]
        for agent in agents.values()
        for session in agent["peers"]
    }
    return [
        {
            "name": name,
            "gateway": peer.gateway,
            "networks": [str(net) for net in peer.allowed],
            "handshakeAgeSeconds": ages.get(f"StaticPeer {name}"),
            "problems": wrong[name],
        }
        for name, peer in sorted(cluster.static_peers.items())
    ]


def _print(report: dict[str, Any]) -> None:
    for location, found in report["locations"].items():
        gateways = ", ".join(found["gateways"]) or "none"
        click.echo(f"{location:<24} {len(found['nodes'])} nodes, gateways: {gateways}")
    keys = report["keys"]
    changing = f", changing: {', '.join(keys['changing'])}" if keys["changing"] else ""
    click.echo(f"\nencryption {report['encryption']}, keys of epoch {keys['epoch']}{changing}")
    for name in report["missing"]:
        click.echo(f"missing: {name} has not joined the fabric; is its agent running?")
    for pair in report["unreached"]:
        click.echo(f"no way: {pair['from']} -> {pair['to']}: {pair['reason']}")
    for problem in report["problems"]:
        click.echo(f"problem: {problem['node']}: {problem['what']}: {problem['why']}")
    for peer in report["staticPeers"]:
        age = peer["handshakeAgeSeconds"]
        seen = "" if age is None else f", heard of {age:.0f} s ago"
        click.echo(f"static peer: {peer['name']} by {peer['gateway']}{seen}")
        for problem in peer["problems"]:
            click.echo(f"problem: StaticPeer {peer['name']}: {problem['why']}; {problem['mend']}")
    if report["silent"]:
        click.echo(
            f"\nThe agents of {len(report['silent'])} nodes do not answer here; what only they "
            "know is not in this report.",
            err=True,
        )


@fabric.command()
@click.argument("node")
@click.option("--undo", is_flag=True, help="Let it relay again, as much as it did by default.")
@kubeconfig_option
def drain(node: str, undo: bool, kubeconfig: Path | None) -> None:  # noqa: FBT001 - click
    r"""Let gateway NODE relay nothing new, without loss: others choose other gateways at once.

    What it still gets meanwhile it forwards. Its own pods are reached as before. The label
    chita.dev/gateway-weight of the Node says it, so it lasts.

    \b
    Example:
        chita fabric drain aws-1
    """
    from chita.api.kinds import CORE

    cluster = running_cluster(kubeconfig)
    if node not in cluster.nodes:
        known = ", ".join(sorted(cluster.nodes))
        raise NotFoundError(f"there is no node '{node}' in the fabric; there are {known}")

    async def label(client: ApiClient) -> None:
        value = None if undo else "0"
        await client.patch(CORE["Node"], node, {"metadata": {"labels": {_WEIGHT: value}}})

    connected(kubeconfig, label)
    click.echo(f"{node} {'relays again' if undo else 'is drained'}")


@fabric.command()
@click.option("--force", is_flag=True, help="Also while the last change is not over.")
@kubeconfig_option
def rotate_keys(force: bool, kubeconfig: Path | None) -> None:  # noqa: FBT001 - click
    r"""Give all nodes new WireGuard keys, without losing a packet.

    Each node makes a key beside its old one; pairs move over when a probe came back, then the old
    keys go. `chita fabric status` shows when it is over.

    \b
    Example:
        chita fabric rotate-keys
    """
    from chita.api.kinds import CHITA

    cluster = running_cluster(kubeconfig)
    epoch = cluster.setting.key_epoch
    late = sorted(
        node.name
        for node in cluster.fabric_nodes.values()
        if node.wireguard_previous is not None or node.wireguard_epoch < epoch
    )
    if late and not force:
        raise InputError(
            f"the last change of keys is not over: {', '.join(late)}; wait, or --force (a pair "
            "that missed it loses its tunnel until it has heard of the new one)"
        )

    async def raise_epoch(client: ApiClient) -> None:
        spec = {"keyEpoch": epoch + 1}
        resource = CHITA["FabricConfiguration"]
        try:
            await client.create(
                {
                    "apiVersion": "chita.dev/v1alpha1",
                    "kind": "FabricConfiguration",
                    "metadata": {"name": "default"},
                    "spec": spec,
                }
            )
        except ConflictError:
            await client.patch(resource, "default", {"spec": spec})

    connected(kubeconfig, raise_epoch)
    click.echo(f"all nodes are making keys of epoch {epoch + 1}")
