"""The cluster as the API has it at one moment, for those who ask once and do not watch."""

from __future__ import annotations

from chita.api.client import ApiClient
from chita.api.kinds import WATCHED
from chita.api.watch import Listed
from chita.mirror.view import ClusterView
from chita.model.cluster import Change, ClusterState, fold


async def read_cluster(client: ApiClient) -> ClusterState:
    """Return the cluster, by the same conversion as the agents'.

    Raises:
        ApiError: the server does not answer.
    """
    view = ClusterView("", WATCHED)
    changes: list[Change] = []
    for resource in WATCHED:
        listed = await client.list(resource)
        changes += view.absorb(Listed(resource, listed.items))
    return fold(ClusterState(), changes)
