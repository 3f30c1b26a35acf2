"""``networking.k8s.io/v1`` NetworkPolicy and the kinds of ``policy.networking.k8s.io``.

Of the latter, ClusterNetworkPolicy of v1alpha2 and what it replaced: AdminNetworkPolicy and
BaselineAdminNetworkPolicy of v1alpha1.

Unlike Kubernetes' other kinds they are closed: an unknown field in a policy is a rule that would
not be enforced, so it is refused.
"""

from __future__ import annotations

from typing import Final

from chita.model.kinds import known_kind
from chita.model.schema import (
    Format,
    KindSchema,
    ListOf,
    Record,
    Schema,
    Text,
    Whole,
    WholeOrText,
)
from chita.model.schemas.metadata import LABEL_SELECTOR

_PROTOCOL = Text(choices=("TCP", "UDP", "SCTP"))
_PORT_NUMBER = Whole(minimum=1, maximum=65535)

_PEERS = ListOf(
    item=Record(
        fields={
            "podSelector": LABEL_SELECTOR,
            "namespaceSelector": LABEL_SELECTOR,
            "ipBlock": Record(
                fields={
                    "cidr": Text(format=Format.CIDR_LOOSE),
                    "except": ListOf(item=Text(format=Format.CIDR_LOOSE)),
                },
                required=("cidr",),
            ),
        },
        hints={
            "selector": "write podSelector with matchLabels or matchExpressions",
            "nets": "write ipBlock with cidr and except",
            "matchLabels": "write matchLabels below podSelector or namespaceSelector",
        },
    ),
)
_PORTS = ListOf(
    item=Record(
        fields={
            "protocol": _PROTOCOL,
            "port": WholeOrText(Format.KUBERNETES_PORT),
            "endPort": _PORT_NUMBER,
        },
    ),
)
_INGRESS_HINTS = {"to": "an ingress rule has from", "source": "write from", "action": "all allow"}
_EGRESS_HINTS = {"from": "an egress rule has to", "destination": "write to", "action": "all allow"}

NETWORK_POLICY_SPEC = Record(
    fields={
        "podSelector": LABEL_SELECTOR,
        "policyTypes": ListOf(item=Text(choices=("Ingress", "Egress")), max_items=2, unique=True),
        "ingress": ListOf(
            item=Record(fields={"from": _PEERS, "ports": _PORTS}, hints=_INGRESS_HINTS)
        ),
        "egress": ListOf(item=Record(fields={"to": _PEERS, "ports": _PORTS}, hints=_EGRESS_HINTS)),
    },
    hints={
        "selector": "write podSelector, or apiVersion projectcalico.org/v3",
        "types": "write policyTypes, or apiVersion projectcalico.org/v3",
        "tier": "only policies of projectcalico.org/v3 have a tier",
        "order": "only policies of projectcalico.org/v3 have an order",
    },
)

_PODS = Record(
    fields={"namespaceSelector": LABEL_SELECTOR, "podSelector": LABEL_SELECTOR},
    required=("namespaceSelector", "podSelector"),
)
_DESTINATION_PORT = Record(
    fields={
        "destinationPort": Record(
            fields={
                "number": _PORT_NUMBER,
                "range": Record(
                    fields={"start": _PORT_NUMBER, "end": _PORT_NUMBER},
                    required=("start", "end"),
                ),
            },
        ),
    },
)
_SUBJECT: dict[str, Schema] = {"namespaces": LABEL_SELECTOR, "pods": _PODS}
_EGRESS_PEER = _SUBJECT | {
    "networks": ListOf(item=Text(format=Format.CIDR_LOOSE), min_items=1, max_items=25, unique=True),
}
_NOT_SUPPORTED = {
    "nodes": "peers by nodes are not supported; write networks",
    "domainNames": "peers by domain names are not supported; write networks",
}
_CLUSTER_RULE: dict[str, Schema] = {
    "name": Text(max_length=100),
    "action": Text(choices=("Accept", "Deny", "Pass")),
    "protocols": ListOf(
        item=Record(
            fields={
                "tcp": _DESTINATION_PORT,
                "udp": _DESTINATION_PORT,
                "sctp": _DESTINATION_PORT,
                "destinationNamedPort": Text(format=Format.PORT_NAME),
            },
        ),
        max_items=25,
    ),
}


def _cluster_rules(direction: str, peer: dict[str, Schema]) -> ListOf:
    peers = ListOf(item=Record(fields=peer, hints=_NOT_SUPPORTED), min_items=1, max_items=25)
    rule = Record(fields={**_CLUSTER_RULE, direction: peers}, required=("action", direction))
    return ListOf(item=rule, max_items=25)


_ADMIN_PORT = Record(
    fields={
        "portNumber": Record(
            fields={"protocol": _PROTOCOL, "port": _PORT_NUMBER}, required=("port",)
        ),
        "portRange": Record(
            fields={"protocol": _PROTOCOL, "start": _PORT_NUMBER, "end": _PORT_NUMBER},
            required=("start", "end"),
        ),
        "namedPort": Text(format=Format.PORT_NAME),
    },
)


def _admin_rules(actions: tuple[str, ...], direction: str, peer: dict[str, Schema]) -> ListOf:
    peers = ListOf(item=Record(fields=peer, hints=_NOT_SUPPORTED), min_items=1, max_items=100)
    fields: dict[str, Schema] = {
        "name": Text(max_length=100),
        "action": Text(choices=actions),
        "ports": ListOf(item=_ADMIN_PORT, max_items=100),
        direction: peers,
    }
    return ListOf(item=Record(fields=fields, required=("action", direction)), max_items=100)


def _admin_spec(actions: tuple[str, ...]) -> dict[str, Schema]:
    return {
        "subject": Record(fields=_SUBJECT),
        "ingress": _admin_rules(actions, "from", _SUBJECT),
        "egress": _admin_rules(actions, "to", _EGRESS_PEER),
    }


POLICY_V1ALPHA1: Final = "policy.networking.k8s.io/v1alpha1"
_ADMIN = Record(
    fields={"priority": Whole(minimum=0, maximum=1000), **_admin_spec(("Allow", "Deny", "Pass"))},
    required=("priority", "subject"),
)
_BASELINE = Record(
    fields=_admin_spec(("Allow", "Deny")),
    required=("subject",),
    hints={"priority": "there is one baseline policy, so it has no priority"},
)

KINDS = (
    KindSchema(
        of=known_kind(POLICY_V1ALPHA1, "AdminNetworkPolicy"),
        fields={"spec": _ADMIN, "status": Record(open=True)},
        required=("spec",),
    ),
    KindSchema(
        of=known_kind(POLICY_V1ALPHA1, "BaselineAdminNetworkPolicy"),
        fields={"spec": _BASELINE, "status": Record(open=True)},
        required=("spec",),
    ),
    KindSchema(
        of=known_kind("networking.k8s.io/v1", "NetworkPolicy"),
        # Without spec it selects all pods of its namespace, as Kubernetes has it.
        fields={"spec": NETWORK_POLICY_SPEC, "status": Record(open=True)},
    ),
    KindSchema(
        of=known_kind("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        fields={
            "spec": Record(
                fields={
                    "tier": Text(choices=("Admin", "Baseline")),
                    "priority": Whole(minimum=0, maximum=1000),
                    "subject": Record(fields=_SUBJECT),
                    "ingress": _cluster_rules("from", _SUBJECT),
                    "egress": _cluster_rules("to", _EGRESS_PEER),
                },
                required=("tier", "priority", "subject"),
            ),
            "status": Record(open=True),
        },
        required=("spec",),
    ),
)
