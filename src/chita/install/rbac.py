"""The rights of the agent and of the controller, each with what it is needed for.

No right is here that no code uses; `docs/reference/rbac.md` is printed from these rules. What an
agent watches is `chita.api.kinds.WATCHED`, the very table that its mirror follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from chita.api.kinds import CALICO, CHITA, CORE, WATCHED, Resource
from chita.install.options import NAMESPACE
from chita.install.webhook import CONFIGURATION, SECRET, TIERED
from chita.install.webhook import NAME as WEBHOOK

_READ: Final = ("get", "list")
_FOLLOW: Final = ("list", "watch")


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """Some verbs on some resources of one group, and the *reason* for them."""

    resources: tuple[Resource, ...]
    verbs: tuple[str, ...]
    reason: str
    subresource: str = ""
    only: tuple[str, ...] = ()
    """Names of the objects that it is for; none: for all."""

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.resources[0].group

    @property
    def names(self) -> list[str]:
        """The resources as a rule names them."""
        part = f"/{self.subresource}" if self.subresource else ""
        return sorted(f"{resource.plural}{part}" for resource in self.resources)

    def rule(self) -> dict[str, Any]:
        """Return the rule of a (Cluster)Role."""
        return {
            "apiGroups": [self.group],
            "resources": self.names,
            "verbs": list(self.verbs),
            **({"resourceNames": list(self.only)} if self.only else {}),
        }


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs with which rights: over the cluster, and in its own namespace."""

    name: str
    """Of the ServiceAccount and of its roles."""
    cluster: tuple[Right, ...]
    namespaced: tuple[Right, ...] = ()

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield the ServiceAccount, its roles and their bindings."""
        account = {"name": self.name, "namespace": NAMESPACE}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
        yield from self._granted("ClusterRole", {"name": self.name}, self.cluster)
        if self.namespaced:
            yield from self._granted("Role", account, self.namespaced)

    def _granted(
        self, kind: str, metadata: dict[str, str], rights: Iterable[Right]
    ) -> Iterator[dict[str, Any]]:
        group = "rbac.authorization.k8s.io"
        head = {"apiVersion": f"{group}/v1", "metadata": metadata}
        yield {**head, "kind": kind, "rules": [right.rule() for right in rights]}
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": NAMESPACE}
        yield {
            **head,
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": group, "kind": kind, "name": self.name},
            "subjects": [subject],
        }


def _watched() -> Iterator[Right]:
    for group in dict.fromkeys(resource.group for resource in WATCHED):
        yield Right(
            resources=tuple(resource for resource in WATCHED if resource.group == group),
            verbs=_FOLLOW,
            reason="what policies, routes and tunnels of a node are computed from",
        )


_BOOKS: Final = tuple(CALICO[kind] for kind in ("IPAMBlock", "IPAMHandle", "BlockAffinity"))
_STATUS: Final = tuple(CALICO[kind] for kind in ("NetworkPolicy", "GlobalNetworkPolicy"))

AGENT: Final = Role(
    name="chita-agent",
    cluster=(
        *_watched(),
        Right(
            resources=(CORE["Pod"],),
            verbs=("get",),
            reason="the runtime adds a pod before the watch has shown it",
        ),
        Right(
            resources=(CORE["Pod"],),
            verbs=("patch",),
            reason="a pod's addresses are told in its annotations cni.projectcalico.org/podIP(s)",
        ),
        Right(
            resources=(CALICO["IPAMConfiguration"],),
            verbs=("get",),
            reason="how blocks are taken and borrowed",
        ),
        Right(
            resources=_BOOKS,
            verbs=(*_READ, "create", "update", "delete"),
            reason="addresses of pods are taken and given back, by compare and swap",
        ),
        Right(
            resources=(CHITA["FabricNode"],),
            verbs=("create", "patch"),
            reason="a node publishes its own record; the admission policy refuses any other's",
        ),
    ),
)
CONTROLLER: Final = Role(
    name="chita-controller",
    cluster=(
        Right(
            resources=(CORE["Node"],),
            verbs=_FOLLOW,
            reason="what a deleted node had goes; host endpoints follow nodes",
        ),
        Right(
            resources=(CORE["Node"],),
            verbs=("patch",),
            reason="each node is given its mesh addresses, as annotations",
        ),
        Right(
            resources=(CORE["Pod"],),
            verbs=("list",),
            reason="addresses of pods that are gone are given back",
        ),
        Right(
            resources=_BOOKS,
            verbs=(*_READ, "update", "delete"),
            reason="what nobody uses any more is given back",
        ),
        Right(
            resources=(CHITA["FabricNode"],),
            verbs=("list", "watch", "delete"),
            reason="records of deleted nodes go; interfaces are read for host endpoints",
        ),
        Right(
            resources=(CHITA["FabricConfiguration"],),
            verbs=("list", "create", "patch"),
            reason="all nodes change their keys together; the first one is made here",
        ),
        Right(
            resources=(CALICO["IPPool"],),
            verbs=("create",),
            reason="the pools that were asked for at the installation, unless they are there",
        ),
        Right(
            resources=(CALICO["KubeControllersConfiguration"],),
            verbs=_FOLLOW,
            reason="whether and how host endpoints are made",
        ),
        Right(
            resources=(CALICO["HostEndpoint"],),
            verbs=(*_FOLLOW, "create", "update", "delete"),
            reason="automatic host endpoints",
        ),
        Right(
            resources=_STATUS,
            verbs=_FOLLOW,
            reason="policies with a field that no node enforces are named",
        ),
        Right(
            resources=_STATUS,
            subresource="status",
            verbs=("patch",),
            reason="the condition Enforced of such a policy",
        ),
        Right(
            resources=TIERED,
            verbs=("list",),
            reason="a tier that still has policies is not deleted",
        ),
        Right(
            resources=(CONFIGURATION,),
            only=(WEBHOOK,),
            verbs=("get", "patch"),
            reason="API servers are told of the webhook's certificate authority",
        ),
    ),
    namespaced=(
        Right(
            resources=(SECRET,),
            only=(WEBHOOK,),
            verbs=("get", "patch"),
            reason="certificates of the webhook, which all replicas share",
        ),
    ),
)
ROLES: Final = (AGENT, CONTROLLER)


_INTRODUCTION: Final = """\
# Rights in Kubernetes

What `deploy/chita.yaml` grants, and why; printed by `make manifests` from
`src/chita/install/rbac.py`. Nothing reads a ConfigMap, or a Secret but the controller its webhook's
own, and nothing may change a policy: the controller writes the status of two kinds.

"""
_CLOSING: Final = """\
Roles know kinds, not names, so the admission policy `chita-own-record` adds what they can't say: an
agent writes the FabricNode of the node that its pod runs on, and no other.
"""


def reference() -> str:
    """Return ``docs/reference/rbac.md``."""
    return _INTRODUCTION + "".join(_section(role) for role in ROLES) + _CLOSING


def _objects(right: Right) -> str:
    named = f" named {', '.join(right.only)}" if right.only else ""
    return ", ".join(right.names) + named


def _section(role: Role) -> str:
    lines = [
        f"## {role.name}",
        "",
        "| where | group | resources | verbs | for |",
        "|---|---|---|---|---|",
    ]
    for where, rights in (("cluster", role.cluster), (NAMESPACE, role.namespaced)):
        lines += [
            f"| {where} | {right.group or 'core'} | {_objects(right)} | "
            f"{', '.join(right.verbs)} | {right.reason} |"
            for right in rights
        ]
    return "\n".join([*lines, "", ""])
