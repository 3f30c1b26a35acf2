"""All that ``kubectl apply`` needs, in the order in which it can be applied at once.

Objects of our own kinds are not among it: their definitions are not served yet when ``kubectl``
looks them up. The controller makes those that were asked for, once, from a ConfigMap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from chita.crd.definition import definitions
from chita.install import webhook
from chita.install.options import NAMESPACE, Options
from chita.install.rbac import AGENT, CONTROLLER, ROLES, reference
from chita.install.workloads import SETTINGS, daemon_set, deployment
from chita.model.kinds import known_kind
from chita.model.net import Cidr

Object = dict[str, Any]

BASE = (
    "# The network of a cluster: `kubectl apply -f chita.yaml`. Printed by `chita install`; other\n"
    "# networks, MTU, encryption or image: `chita install --help`.\n"
)
_V3, _CHITA = "projectcalico.org/v3", "chita.dev/v1alpha1"
_ADMISSION = "admissionregistration.k8s.io/v1"
_OWN_RECORD = "chita-own-record"
_NODE_CLAIM = "authentication.kubernetes.io/node-name"


def manifests(options: Options) -> list[Object]:
    """Return all objects of an installation, each after those that it needs."""
    return [each for part in parts(options).values() for each in part]


def parts(options: Options) -> dict[str, list[Object]]:
    """Return the objects of an installation by the file of the kustomize base they stand in."""
    found = {"namespace.yaml": [_namespace()]}
    found |= {f"crds/{each['metadata']['name']}.yaml": [each] for each in definitions()}
    found["rbac.yaml"] = [each for role in ROLES for each in role.objects()]
    found["admission.yaml"] = _own_record()
    found["initial.yaml"] = [_initial(options)]
    found["agent.yaml"] = [daemon_set(options)]
    found["controller.yaml"] = [deployment(options)]
    found["webhook.yaml"] = webhook.objects(CONTROLLER.name)
    return found


def files() -> dict[str, str]:
    """Return what `make manifests` writes, by path from the root of the repository."""
    base = parts(Options())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(base),
    }
    return {
        **{f"deploy/{path}": text(objects) for path, objects in base.items()},
        "deploy/kustomization.yaml": text([kustomization]),
        "deploy/chita.yaml": BASE + text(manifests(Options())),
        "docs/reference/rbac.md": reference(),
    }


def initial_objects(options: Options) -> list[Object]:
    """Return the pools and the configuration that there are unless somebody made others."""
    return [
        *(
            _own(_V3, "IPPool", f"default-ipv{Cidr.parse(cidr).family}-pool",
                 {"cidr": cidr, "natOutgoing": True})
            for cidr in options.pod_cidrs
        ),
        _own(_CHITA, "FabricConfiguration", "default", {"encryption": str(options.encryption)}),
    ]  # fmt: skip


def text(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return *objects* as a YAML stream."""
    return "---\n".join(
        yaml.dump(each, Dumper=_Dumper, sort_keys=False, width=120) for each in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: references between parts are for machines."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _own(api_version: str, kind: str, name: str, spec: Object) -> Object:
    known = known_kind(api_version, kind)
    return {
        "apiVersion": known.api_version,
        "kind": known.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def _namespace() -> Object:
    # The agent is privileged and in the node's network: the namespace must let it be so.
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    metadata = {"name": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _initial(options: Options) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": SETTINGS, "namespace": NAMESPACE},
        "data": {"initial.yaml": text(initial_objects(options))},
    }


def _own_record() -> list[Object]:
    """Return the policy that an agent writes its node's record only.

    A bound ServiceAccount token names the node of its pod (KEP-4193, Kubernetes 1.32).
    """
    account = f"system:serviceaccount:{NAMESPACE}:{AGENT.name}"
    extra = f"request.userInfo.extra[?'{_NODE_CLAIM}'].orValue([])"
    record = known_kind(_CHITA, "FabricNode")
    policy = {
        "apiVersion": _ADMISSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _OWN_RECORD},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [record.group],
                        "apiVersions": [record.version],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": [record.plural],
                    }
                ]
            },
            "matchConditions": [
                {"name": "by-an-agent", "expression": f"request.userInfo.username == '{account}'"}
            ],
            "validations": [
                {
                    "expression": f"object.metadata.name in {extra}",
                    "messageExpression": (
                        "'an agent writes the FabricNode of its own node, not of ' + "
                        "object.metadata.name"
                    ),
                }
            ],
        },
    }
    binding = {
        "apiVersion": _ADMISSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": _OWN_RECORD},
        "spec": {"policyName": _OWN_RECORD, "validationActions": ["Deny"]},
    }
    return [policy, binding]
