"""The steps from flannel and kubenet: their pods hang on a bridge, so each node is drained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chita.migrate.commands import (
    DRAIN,
    INSTALL,
    MANAGED,
    MOVING,
    REPORT,
    RUN,
    SYNC,
    UNINSTALL,
    gone,
    label,
    leaves_moved,
    ready,
    stays,
)
from chita.migrate.pod_cidr import Source
from chita.migrate.step import Step

_FLANNEL: Final = "kube-flannel"
_DAEMON: Final = "kube-flannel-ds"
_CHITA: Final = ("chita-system", "app.kubernetes.io/name=chita-agent")


def pod_cidr_prepare(source: Source) -> Iterator[Step]:
    """Yield what is done once, before the first node."""
    yield Step(
        title="read the report; policies that nobody enforced will be",
        commands=(REPORT,),
        effect="none",
    )
    if source is Source.FLANNEL:
        yield Step(
            title="let flannel's daemon leave the nodes that are moved",
            commands=(
                f"kubectl -n {_FLANNEL} get daemonset {_DAEMON} -o yaml > kube-flannel.yaml",
                leaves_moved(_FLANNEL, _DAEMON),
            ),
            effect="its daemons restart one by one, and traffic goes on",
            back=(stays(_FLANNEL, _DAEMON), "# or the affinity that kube-flannel.yaml has"),
        )
    yield Step(
        title="install Chita, on no node yet",
        commands=INSTALL,
        effect="none: the agent runs where the label says",
        back=(UNINSTALL,),
    )


def pod_cidr_node(source: Source) -> Iterator[Step]:
    """Yield what is done for each node."""
    yield Step(
        title="drain the node: pods on a bridge are not adopted",
        commands=(DRAIN,),
        effect="its pods start elsewhere, with new addresses",
        back=("kubectl uncordon NODE",),
    )
    if source is Source.FLANNEL:
        yield Step(
            title="let flannel's daemon leave it",
            commands=(label(MOVING), gone(_FLANNEL, "app=flannel")),
            effect="none: it has no pods but those of daemon sets",
            back=(label(""),),
        )
    else:
        yield Step(
            title="mark it",
            commands=(label(MOVING),),
            effect="none",
            back=(label(""),),
        )
    yield Step(title="carry over who has its addresses, as of now", commands=(SYNC,), effect="none")
    yield Step(
        title="take the node over",
        commands=(RUN,),
        effect="the runtime asks Chita from now on; the bridge goes, and pods of daemon sets with "
        "a network of their own are cut off until they start anew",
        back=(f"{RUN} --back",),
    )
    yield Step(
        title="start its agent, restart what is left of the old pods, and open the node",
        commands=(
            label(MANAGED),
            ready(*_CHITA),
            "kubectl get pods -A --field-selector spec.nodeName=NODE",
            "kubectl uncordon NODE",
        ),
        effect="the node is used again",
        back=(DRAIN, label(MOVING), gone(*_CHITA)),
    )


def pod_cidr_finish(source: Source) -> Iterator[Step]:
    """Yield what is done once all nodes have moved."""
    if source is Source.FLANNEL:
        yield Step(
            title="remove flannel, when you are sure",
            commands=(f"kubectl delete namespace {_FLANNEL}",),
            effect="none",
        )
    else:
        yield Step(
            title="remove the cloud's routes to nodes' podCIDRs",
            commands=("# controller-manager: --configure-cloud-routes=false",),
            effect="none: nothing goes by them any more",
        )
