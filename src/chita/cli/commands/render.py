"""``chita render``: the ruleset of one node as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from chita.cli.session import load_world, world_options
from chita.errors import NotFoundError


@click.command()
@world_options
@click.option("--node", required=True, metavar="N", help="The node whose ruleset to print.")
def render(filenames: Sequence[str], kubeconfig: Path | None, node: str) -> None:
    r"""Print the nftables text that node N would hold, as ``nft -f`` loads it.

    Nothing is loaded: no root and no kernel is needed.

    \b
    Example:
        chita render -f world.yaml --node node-1
    """
    # Imported here: only this command and the agent need the ruleset.
    from chita.compute.policy import policy_state
    from chita.dataplane.nftables.render import render as ruleset_text
    from chita.dataplane.nftables.ruleset import policy_ruleset

    cluster = load_world(filenames, kubeconfig).cluster
    if node not in cluster.nodes:
        known = ", ".join(sorted(cluster.nodes)) or "none"
        raise NotFoundError(f"there is no node {node}; the nodes are {known}")
    click.echo(ruleset_text(policy_ruleset(policy_state(cluster, node))), nl=False)
