"""World G: pods, namespaces and policies of five rules, as v3 resources and as the model's values.

The same world that Felix was measured with, so that both figures are of one input. There is no
chance in it: every application has pods on the measured node, a policy selects each application
ten times over, and 1,000 policies name 1,300 different selectors.

    python benchmarks/world_g.py 10000 200 1000 [NODE]

prints the resources, one a line: pods, those of them on NODE, policies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from chita.convert.entities import conversion
from chita.model.cluster import Entity
from chita.model.endpoint import Profile, WorkloadEndpoint
from chita.model.policy import Action, Policy, Rule

Resource = dict[str, Any]

NODE = "node-local"
NAMESPACES = 100
APPS = 100


class WorldG(msgspec.Struct, frozen=True):
    """The world's size, and the node it is computed for."""

    pods: int = 10_000
    local: int = 200
    policies: int = 1_000
    node: str = NODE

    def resources(self) -> Iterator[Resource]:
        """Yield every resource: profiles, policies, pods."""
        for number in range(NAMESPACES):
            yield profile(number)
        for number in range(self.policies):
            yield policy(number)
        for number in range(self.pods):
            yield self.pod(number)

    def entities(self) -> Iterator[Entity]:
        """Yield what the resources mean, as an agent has it after reading them."""
        for resource in self.resources():
            yield entity(resource)

    def pod(self, number: int, **labels: str) -> Resource:
        """Return pod *number*; *labels* replace those it has."""
        namespace = namespace_of(number)
        node = self.node if self.is_local(number) else f"node-{number % 50:03d}"
        name = f"pod-{number:05d}"
        address = f"10.{65 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
        spec = {
            "orchestrator": "k8s",
            "node": node,
            "pod": name,
            "endpoint": "eth0",
            "containerID": f"c{number:05d}",
            "ipNetworks": [f"{address}/32"],
            "profiles": [f"kns.{namespace}"],
            "interfaceName": f"cali{number:06d}",
        }
        own = {
            "app": f"app-{number % APPS}",
            "tier": ("frontend", "backend", "db")[number % 3],
            "version": f"v{number // 100 % 5}",
            "group": f"g-{number % 1000}",
            "pod-template-hash": f"h{number % 2500:04d}",
            "projectcalico.org/namespace": namespace,
            "projectcalico.org/orchestrator": "k8s",
        }
        endpoint = f"{node.replace('-', '--')}-k8s-{name.replace('-', '--')}-eth0"
        return _resource(
            "WorkloadEndpoint", endpoint, spec, namespace=namespace, labels=own | labels
        )

    def is_local(self, number: int) -> bool:
        """Whether pod *number* is on the measured node: the same share of every application."""
        return number * 7919 % self.pods < self.local


def entity(resource: Resource) -> Entity:
    """Return what *resource* means.

    Profiles of namespaces are made here: conversion makes them of Namespaces alone.
    """
    if resource["kind"] == "Profile":
        allow = (Rule(action=Action.ALLOW),)
        return Profile(
            name=resource["metadata"]["name"],
            labels_to_apply=resource["spec"]["labelsToApply"],
            ingress=allow,
            egress=allow,
        )
    (found,) = conversion(resource).entities
    assert isinstance(found, Policy | WorkloadEndpoint)
    return found


def namespace_of(pod: int) -> str:
    return f"ns-{pod // 100 % NAMESPACES:03d}"


def profile(number: int, team: int | None = None) -> Resource:
    """Return the profile of namespace *number*, of *team* if it is not its usual one."""
    namespace = f"ns-{number:03d}"
    labels = {
        "pcns.projectcalico.org/name": namespace,
        "pcns.kubernetes.io/metadata.name": namespace,
        "pcns.team": f"team-{number % 10 if team is None else team}",
        "pcns.env": ("prod", "stage", "dev")[number % 3],
    }
    allow = [{"action": "Allow"}]
    spec = {"ingress": allow, "egress": allow, "labelsToApply": labels}
    return _resource("Profile", f"kns.{namespace}", spec)


def policy(number: int, port_offset: int = 0) -> Resource:
    """Return policy *number*; *port_offset* makes its first rule another."""

    def app(offset: int) -> str:
        return f"app == 'app-{(number + offset) % APPS}'"

    two_apps = f"'app-{(number + 2) % APPS}','app-{(number + 3) % APPS}'"
    nets = [f"10.200.{number % 256}.0/24", f"192.168.{number % 256}.0/24"]
    ingress = [
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"selector": f"{app(1)} && tier == 'frontend'"},
            "destination": {"ports": [8080 + port_offset, 8443]},
        },
        {
            "action": "Allow",
            "protocol": "TCP",
            "source": {
                "selector": f"app in {{{two_apps}}}",
                "namespaceSelector": f"team == 'team-{number % 10}'",
            },
            "destination": {"ports": ["1024:2048"]},
        },
        {
            "action": "Allow",
            "protocol": "UDP",
            "source": {"nets": nets},
            "destination": {"ports": [53]},
        },
    ]
    egress = [
        {
            "action": "Allow",
            "protocol": "TCP",
            "destination": {
                "selector": f"{app(7)} && version == 'v{number % 5}'",
                "ports": [5432],
            },
        },
        {
            "action": "Deny",
            "protocol": "TCP",
            "destination": {"selector": f"group == 'g-{number}'", "ports": [9000]},
        },
    ]
    spec = {
        "tier": "default",
        "order": 1000 + number,
        "selector": app(0),
        "types": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": egress,
    }
    return _resource("GlobalNetworkPolicy", f"pol-{number:05d}", spec)


def _resource(
    kind: str,
    name: str,
    spec: dict[str, Any],
    *,
    namespace: str | None = None,
    labels: dict[str, str] | None = None,
) -> Resource:
    metadata: dict[str, Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels is not None:
        metadata["labels"] = labels
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def main() -> None:
    pods, local, policies = (int(each) for each in (sys.argv[1:4] or ("10000", "200", "1000")))
    for resource in WorldG(pods, local, policies, *sys.argv[4:5]).resources():
        print(json.dumps(resource))


if __name__ == "__main__":
    main()
