"""The policy kinds of ``projectcalico.org/v3``, with the limits of upstream's CRDs (v3.34)."""

from __future__ import annotations

from typing import Final

from chita.model.kinds import known_kind
from chita.model.schema import (
    Cel,
    Flag,
    Format,
    KindSchema,
    ListOf,
    MapOf,
    Number,
    Record,
    Schema,
    Text,
    Whole,
    WholeOrText,
)
from chita.model.schemas.kubernetes_policy import NETWORK_POLICY_SPEC
from chita.model.schemas.metadata import ANNOTATIONS

V3: Final = "projectcalico.org/v3"

SELECTOR = Text(format=Format.SELECTOR, max_length=1024)
_NETS = ListOf(item=Text(format=Format.CIDR), max_items=256, unique=True)
_PORTS = ListOf(item=WholeOrText(Format.RULE_PORT), max_items=50)
_PROTOCOL = WholeOrText(Format.PROTOCOL)
# Type 255 is reserved, and xt_icmp, which Felix renders to, takes it for "any".
_ICMP = Record(
    fields={"type": Whole(minimum=0, maximum=254), "code": Whole(minimum=0, maximum=255)}
)

_ENTITY_RULE = Record(
    fields={
        "nets": _NETS,
        "notNets": _NETS,
        "selector": SELECTOR,
        "notSelector": SELECTOR,
        "namespaceSelector": Text(format=Format.SELECTOR_OR_GLOBAL, max_length=1024),
        "ports": _PORTS,
        "notPorts": _PORTS,
        "serviceAccounts": Record(
            fields={
                "names": ListOf(item=Text(format=Format.DNS_SUBDOMAIN), unique=True),
                "selector": SELECTOR,
            },
        ),
        "services": Record(
            fields={
                "name": Text(format=Format.DNS_SUBDOMAIN),
                "namespace": Text(format=Format.DNS_SUBDOMAIN),
            },
            required=("name",),
        ),
    },
    hints={
        "protocol": "the protocol stands in the rule, beside source and destination",
        "podSelector": "write selector, in the selector language: app == 'web'",
        "ipBlock": "write nets and notNets",
        "service": "write services",
        "serviceAccount": "write serviceAccounts",
        "domains": "domain names are not part of the v3 API's open-source rules",
    },
)

_HTTP = Record(
    fields={
        "methods": ListOf(item=Text(), max_items=20, unique=True),
        "paths": ListOf(
            item=Record(
                fields={
                    "exact": Text(format=Format.HTTP_PATH, max_length=1024),
                    "prefix": Text(format=Format.HTTP_PATH, max_length=1024),
                },
            ),
            max_items=20,
        ),
    },
)

RULE = Record(
    fields={
        "action": Text(choices=("Allow", "Deny", "Log", "Pass")),
        "ipVersion": Whole(choices=(4, 6)),
        "protocol": _PROTOCOL,
        "notProtocol": _PROTOCOL,
        "icmp": _ICMP,
        "notICMP": _ICMP,
        "source": _ENTITY_RULE,
        "destination": _ENTITY_RULE,
        "http": _HTTP,
        "metadata": Record(fields={"annotations": ANNOTATIONS}),
    },
    required=("action",),
    hints={
        "from": "write source; from belongs to a Kubernetes NetworkPolicy",
        "to": "write destination; to belongs to a Kubernetes NetworkPolicy",
        "ports": "ports stand in destination or source",
        "notPorts": "notPorts stand in destination or source",
        "nets": "nets stand in source or destination",
        "notNets": "notNets stand in source or destination",
        "selector": "a rule's selector stands in source or destination",
        "namespaceSelector": "a rule's namespaceSelector stands in source or destination",
    },
)

RULES = ListOf(item=RULE, max_items=1024)

_SPEC: dict[str, Schema] = {
    "tier": Text(format=Format.DNS_LABEL),
    "order": Number(),
    "selector": SELECTOR,
    "serviceAccountSelector": SELECTOR,
    "types": ListOf(
        item=Text(choices=("Ingress", "Egress")), min_items=1, max_items=2, unique=True
    ),
    "ingress": RULES,
    "egress": RULES,
    "performanceHints": ListOf(item=Text(choices=("AssumeNeededOnEveryNode",)), unique=True),
}
_GLOBAL_SPEC: dict[str, Schema] = _SPEC | {
    "namespaceSelector": SELECTOR,
    "doNotTrack": Flag(),
    "preDNAT": Flag(),
    "applyOnForward": Flag(),
}
STAGED_ACTION = Text(choices=("Set", "Delete", "Learn", "Ignore"))
_STAGED: dict[str, Schema] = {"stagedAction": STAGED_ACTION}

_SPEC_HINTS = {
    "podSelector": "write selector, in the selector language: app == 'web'",
    "policyTypes": "write types",
    "rules": "write ingress and egress",
}
_ONLY_GLOBAL = (
    "only a GlobalNetworkPolicy has it; a NetworkPolicy is always limited to its own namespace"
)
_PRE_DNAT = "!has(self.preDNAT) || !self.preDNAT"
_UNTRACKED = "!has(self.doNotTrack) || !self.doNotTrack"
_FORWARD = "(has(self.applyOnForward) && self.applyOnForward)"
_HOST_RULES = (
    Cel(f"{_PRE_DNAT} || {_UNTRACKED}", "doNotTrack does not go with preDNAT; make two policies"),
    Cel(
        f"{_PRE_DNAT} || !has(self.egress) || size(self.egress) == 0",
        "a preDNAT policy has ingress rules only; remove egress",
    ),
    Cel(
        f"{_PRE_DNAT} || !has(self.types) || !('Egress' in self.types)",
        "a preDNAT policy is for Ingress only; remove Egress from types",
    ),
    Cel(f"{_PRE_DNAT} || {_FORWARD}", "preDNAT needs applyOnForward: true"),
    Cel(f"{_UNTRACKED} || {_FORWARD}", "doNotTrack needs applyOnForward: true"),
)
_NAMESPACED_HINTS = _SPEC_HINTS | {
    "namespaceSelector": _ONLY_GLOBAL,
    "doNotTrack": "only a GlobalNetworkPolicy has it",
    "preDNAT": "only a GlobalNetworkPolicy has it",
    "applyOnForward": "only a GlobalNetworkPolicy has it",
}
_DEFAULTS = {"tier": "default"}
_STAGED_DEFAULTS = {"tier": "default", "stagedAction": "Set"}


def _policy(kind: str, spec: Record, **more: Record) -> KindSchema:
    return KindSchema(
        of=known_kind(V3, kind),
        fields={"spec": spec, **more},
        required=("spec",),
    )


# Of the kinds that are enforced; written by the controller, unknown to upstream.
_STATUS = Record(open=True)

KINDS = (
    _policy(
        "NetworkPolicy",
        Record(fields=_SPEC, defaults=_DEFAULTS, hints=_NAMESPACED_HINTS),
        status=_STATUS,
    ),
    _policy(
        "StagedNetworkPolicy",
        Record(fields=_SPEC | _STAGED, defaults=_STAGED_DEFAULTS, hints=_NAMESPACED_HINTS),
    ),
    _policy(
        "StagedKubernetesNetworkPolicy",
        Record(
            fields={**NETWORK_POLICY_SPEC.fields, **_STAGED},
            defaults={"stagedAction": "Set"},
            hints=NETWORK_POLICY_SPEC.hints,
        ),
    ),
    _policy(
        "GlobalNetworkPolicy",
        Record(fields=_GLOBAL_SPEC, defaults=_DEFAULTS, hints=_SPEC_HINTS, rules=_HOST_RULES),
        status=_STATUS,
    ),
    _policy(
        "StagedGlobalNetworkPolicy",
        Record(
            fields=_GLOBAL_SPEC | _STAGED,
            defaults=_STAGED_DEFAULTS,
            hints=_SPEC_HINTS,
            rules=_HOST_RULES,
        ),
    ),
    KindSchema(
        of=known_kind(V3, "Tier"),
        # Policies find their tier by a label's value and it is part of other names: no dots.
        name=Format.DNS_LABEL,
        fields={
            "spec": Record(
                # The default of defaultAction depends on the name: chita.model.defaults.
                fields={"order": Number(), "defaultAction": Text(choices=("Deny", "Pass"))},
            ),
            "status": Record(open=True),
        },
    ),
    KindSchema(
        of=known_kind(V3, "Profile"),
        fields={
            "spec": Record(
                fields={"ingress": RULES, "egress": RULES, "labelsToApply": MapOf(value=Text())},
            ),
        },
    ),
)
