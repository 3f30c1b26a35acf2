"""The steps from Calico: what stands still before, what each node does, what is removed at last.

The two networks have a store each (``crd.projectcalico.org`` and ``projectcalico.org``), so both
sides would hand out the same free blocks. Nobody does while nodes move: no node claims a block or
borrows an address, on either side. Calico's store stays as it was, and is the way back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

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
    patch,
    ready,
    scale,
    stays,
)
from chita.migrate.export import Export
from chita.migrate.raw import part
from chita.migrate.step import Step

_IPAM: Final = "ipamconfigs.crd.projectcalico.org default"
_OWN_IPAM: Final = "ipamconfigurations.projectcalico.org default"
_FROZEN: Final = {"strictAffinity": True, "autoAllocateBlocks": False}
_FREE: Final = {"strictAffinity": False, "autoAllocateBlocks": True}
_ENCRYPTED: Final = ("wireguardEnabled", "wireguardEnabledV6")
_AGGREGATED: Final = "v3.projectcalico.org"
_CALICO: Final = "k8s-app=calico-node"
_CHITA: Final = ("chita-system", "app.kubernetes.io/name=chita-agent")


def calico_prepare(export: Export) -> Iterator[Step]:
    """Yield what is done once, before the first node."""
    namespace = _namespace(export)
    yield Step(title="read the report, and mend what is refused", commands=(REPORT,), effect="none")
    if _is_operators(export):
        yield Step(
            title="stop Calico's operator, which would undo the next steps",
            commands=(scale("tigera-operator", "tigera-operator", 0),),
            effect="none: nobody upgrades or repairs Calico",
            back=(scale("tigera-operator", "tigera-operator", 1),),
        )
    yield Step(
        title="stop Calico's controllers, so that its store stays as it is",
        commands=(scale(namespace, "calico-kube-controllers", 0),),
        effect="none; new nodes get no host endpoint, leaked addresses stay taken",
        back=(scale(namespace, "calico-kube-controllers", 1),),
    )
    yield _frozen(export)
    yield from _unencrypted(export)
    services = export.of("APIService", "apiregistration.k8s.io/v1")
    if any(entry.name == _AGGREGATED for entry in services):
        yield Step(
            title="take Calico's API server out of the way of the definitions",
            commands=(
                f"kubectl get apiservice {_AGGREGATED} -o yaml > apiservice.yaml",
                f"kubectl delete apiservice {_AGGREGATED}",
            ),
            effect="calicoctl and kubectl no longer write projectcalico.org/v3 to Calico's store",
            back=("kubectl apply -f apiservice.yaml",),
        )
    yield Step(
        title="let Calico's daemon leave the nodes that are moved",
        commands=(
            f"kubectl -n {namespace} get daemonset calico-node -o yaml > calico-node.yaml",
            leaves_moved(namespace, "calico-node"),
            f"kubectl -n {namespace} rollout status daemonset calico-node",
        ),
        effect="its daemons restart one by one, and traffic goes on",
        back=(stays(namespace, "calico-node"), "# or the affinity that calico-node.yaml has"),
    )
    yield Step(
        title="install Chita, on no node yet",
        commands=INSTALL,
        effect="none: the agent runs where the label says",
        back=(UNINSTALL,),
    )


def _frozen(export: Export) -> Step:
    """Return the step after which no node claims a block: else both sides claim the same one."""
    if (written := _ipam(export)) is None:
        head = {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMConfig"}
        obj = {**head, "metadata": {"name": "default"}, "spec": _FROZEN}
        do, back = f"echo '{json.dumps(obj)}' | kubectl create -f -", f"kubectl delete {_IPAM}"
    else:
        do, back = patch(_IPAM, {"spec": _FROZEN}), patch(_IPAM, {"spec": written})
    return Step(
        title="let every node keep to the blocks that it has",
        commands=(do,),
        effect="a node whose blocks are full starts no further pod until this is undone",
        back=(back,),
    )


def _ipam(export: Export) -> dict[str, Any] | None:
    """Return how freely nodes take blocks; None where nobody wrote it."""
    for entry in export.of("IPAMConfiguration"):
        spec = part(entry.raw, "spec")
        return {field: spec.get(field, value) for field, value in _FREE.items()}
    return None


def _unencrypted(export: Export) -> Iterator[Step]:
    """Yield the step that turns Calico's encryption off, where it is on."""
    for entry in export.of("FelixConfiguration"):
        on = [field for field in _ENCRYPTED if part(entry.raw, "spec").get(field) is True]
        what = f"felixconfigurations.crd.projectcalico.org {entry.name}"
        if on:
            yield Step(
                title="turn Calico's encryption off, which moved nodes don't have",
                commands=(patch(what, {"spec": dict.fromkeys(on, False)}),),
                effect="traffic of pods between nodes is in the clear until the last node moved",
                back=(patch(what, {"spec": dict.fromkeys(on, True)}),),
            )


def calico_node(export: Export) -> Iterator[Step]:
    """Yield what is done for each node."""
    yield Step(
        title="cordon the node",
        commands=("kubectl cordon NODE",),
        effect="no new pod comes to it",
        back=("kubectl uncordon NODE",),
    )
    yield Step(
        title="let Calico's daemon leave it",
        commands=(label(MOVING), gone(_namespace(export), _CALICO)),
        effect="policy and routes stay as they are; with BGP the others forget the node's routes, "
        "at once or after BIRD's restart time",
        back=(label(""),),
    )
    yield Step(title="carry over who has its addresses, as of now", commands=(SYNC,), effect="none")
    yield Step(
        title="take the node over",
        commands=(RUN,),
        effect="the runtime asks Chita from now on. Running pods keep their interface, address "
        "and connections, and reach other nodes again when the agent is up, in 5 to 10 s",
        back=(DRAIN, f"{RUN} --back"),
    )
    yield Step(
        title="start its agent",
        commands=(label(MANAGED), ready(*_CHITA)),
        effect="Chita's policy is in force beside Calico's last one",
        back=(label(MOVING), gone(*_CHITA)),
    )
    yield Step(
        title="remove what Calico left",
        commands=(RUN,),
        effect="new pods have traffic: until now Calico's chains drop what they don't know",
        back=("# nothing: Calico's daemon makes its chains and devices again",),
    )
    yield Step(
        title="look, and open the node",
        commands=(
            "chita links --kubeconfig KUBECONFIG",
            "kubectl get pods -A --field-selector spec.nodeName=NODE",
            "kubectl uncordon NODE",
        ),
        effect="the node is used again",
        back=("kubectl cordon NODE",),
    )


def calico_finish(export: Export) -> Iterator[Step]:
    """Yield what is done once all nodes have moved."""
    written = _ipam(export)
    before = written if written is not None and written != _FROZEN else _FREE
    yield Step(
        title="let nodes claim blocks again",
        commands=(patch(_OWN_IPAM, {"spec": before}),),
        effect="full nodes start pods again; from here on the way back means new addresses",
        back=(patch(_OWN_IPAM, {"spec": _FROZEN}),),
    )
    yield Step(
        title="remove Calico, when you are sure",
        commands=(
            f"kubectl -n {_namespace(export)} delete daemonset calico-node",
            f"kubectl -n {_namespace(export)} delete deployment calico-kube-controllers",
            "kubectl get crd -o name | grep crd.projectcalico.org | xargs kubectl delete",
        ),
        effect="none; there is no way back from the last command but your backup",
    )


def _is_operators(export: Export) -> bool:
    for entry in export.of("ClusterInformation"):
        return "operator" in str(part(entry.raw, "spec").get("clusterType", "")).split(",")
    return any(True for _ in export.of("Installation", "operator.tigera.io/v1"))


def _namespace(export: Export) -> str:
    """Return where Calico runs: the operator's place, or that of its manifest."""
    return "calico-system" if _is_operators(export) else "kube-system"
