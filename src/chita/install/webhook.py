"""The validating webhook's objects: its configuration, the Service before it, its Secret.

Neither the Secret nor the configuration says anything about certificates: the webhook fills them
in, and ``kubectl apply`` leaves alone what a manifest has never had (docs/design/webhook.md).
"""

from __future__ import annotations

from typing import Any, Final

from chita.api.kinds import CALICO, CHITA
from chita.install.options import NAMESPACE
from chita.model.kinds import KINDS, Kind, Scope

Object = dict[str, Any]

NAME: Final = "chita-webhook"
"""Of the Service, of the Secret and of the configuration."""
WEBHOOK: Final = "validate.chita.dev"
"""Of the one webhook in the configuration; ``kubectl`` prints it before each refusal."""
PORT: Final = 9473
"""TCP, on each node that a controller runs on; no other part of a cluster is known to use it."""
TIMEOUT_S: Final = 3
PATH: Final = "/validate"

SECRET: Final = Kind(
    group="", version="v1", kind="Secret", plural="secrets", scope=Scope.NAMESPACED
)
CONFIGURATION: Final = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    scope=Scope.CLUSTER,
)

UNASKED: Final = frozenset({"FabricNode", "IPAMBlock", "IPAMHandle", "BlockAffinity"})
"""Kinds that only programs write, some of them for each pod: no review stands in their way."""
TIERED: Final = tuple(
    kind for kind in KINDS if kind.group == "projectcalico.org" and "spec.tier" in kind.fields
)
"""What a tier holds, and is not deleted with."""


def objects(controller: str) -> list[Object]:
    """Return what the webhook needs beside the *controller* pods that it runs in, by label."""
    return [_secret(), _service(controller), _configuration()]


def server_name() -> str:
    """Return whom kube-apiserver takes the server for: ``<service>.<namespace>.svc``."""
    return f"{NAME}.{NAMESPACE}.svc"


def _secret() -> Object:
    return {
        "apiVersion": "v1",
        "kind": SECRET.kind,
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _labels()},
        "type": "Opaque",
    }


def _service(controller: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _labels()},
        "spec": {
            "selector": {"app.kubernetes.io/name": controller},
            "ports": [{"name": "https", "port": 443, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def _configuration() -> Object:
    return {
        "apiVersion": CONFIGURATION.api_version,
        "kind": CONFIGURATION.kind,
        "metadata": {"name": NAME, "labels": _labels()},
        "webhooks": [
            {
                "name": WEBHOOK,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {
                    "service": {"name": NAME, "namespace": NAMESPACE, "path": PATH, "port": 443}
                },
                # A cluster without its network's webhook goes on: docs/adr/0025.
                "failurePolicy": "Ignore",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": TIMEOUT_S,
                "rules": rules(),
            }
        ],
    }


def rules() -> list[Object]:
    """Return what is reviewed: what people write of our kinds, and tiers that are to go."""
    written = [
        _rule([kind for kind in table.values() if kind.kind not in UNASKED], "CREATE", "UPDATE")
        for table in (CALICO, CHITA)
    ]
    return [*written, _rule([CALICO["Tier"]], "DELETE")]


def _rule(kinds: list[Kind], *operations: str) -> Object:
    return {
        "apiGroups": [kinds[0].group],
        "apiVersions": [kinds[0].version],
        "operations": list(operations),
        "resources": sorted(kind.plural for kind in kinds),
        "scope": "*",
    }


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "chita"}
