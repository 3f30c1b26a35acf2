"""Worlds at random, from a seed: pods, labels and policies of every kind, the same each time.

For `lab test` and property tests: what nobody would think of writing. Every policy is valid; most
allow a little, so that about half of the flows end up denied. ``python -m chita.lab.random_world
--seed 7`` prints one.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import yaml

Object = dict[str, Any]

_NAMESPACES = ("alpha", "beta", "gamma", "delta", "epsilon")
_APPS = ("web", "api", "db", "cache", "queue")
_TIERS = ("front", "back", "store")
_PORTS = ({"name": "http", "containerPort": 8080}, {"name": "sql", "containerPort": 5432},
          {"name": "dns", "containerPort": 5353, "protocol": "UDP"},
          {"name": "rpc", "containerPort": 9000})  # fmt: skip
_SITES = (("aws", "eu-west-1", "aws:///eu-west-1a/i-{}"), ("gcp", "europe-west4", "gce://p/z/{}"),
          ("openstack", "frankfurt", "openstack:///{}"))  # fmt: skip


def random_world(seed: int, *, pods: int = 40, policies: int = 30) -> list[Object]:
    """Return the objects of the world of *seed*."""
    dice = random.Random(seed)
    objects = [*_nodes(dice), *_namespaces(dice), *_pods(dice, pods)]
    for index, name in enumerate(("first", "second")):
        action = dice.choice(["Pass", "Deny"]) if index else "Pass"
        spec = {"order": 100 * (index + 1), "defaultAction": action}
        objects.append(_v3("Tier", name, spec))
    objects.append(
        {
            **_v3("GlobalNetworkSet", "everywhere", {"nets": _nets(dice, 4, 3)}),
            "metadata": {"name": "everywhere", "labels": {"net": "v4"}},
        }
    )
    makers: Sequence[Callable[[random.Random, str], Object]] = (
        _kubernetes_policy,
        _calico_policy,
        _global_policy,
    )
    objects += [
        makers[index % len(makers)](dice, f"policy-{index:02}") for index in range(policies)
    ]
    return objects


def _nodes(dice: random.Random) -> list[Object]:
    """Two nodes at each of three sites; of one site only the first can be dialled."""
    nodes: list[Object] = []
    for number, (site, region, provider_id) in enumerate(_SITES, start=1):
        public = dice.choice([1, 2]) if site != "openstack" else 0
        for index in (1, 2):
            name = f"{site}-{index}"
            addresses = [{"type": "InternalIP", "address": f"10.{number}.0.{10 + index}"}]
            if index <= public:
                address = f"198.18.{number}.{10 + index}"
                addresses.append({"type": "ExternalIP", "address": address})
            labels = {"topology.kubernetes.io/region": region}
            nodes.append(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": name, "labels": labels},
                    "spec": {"providerID": provider_id.format(name)},
                    "status": {"addresses": addresses},
                }
            )
    return nodes


def _namespaces(dice: random.Random) -> list[Object]:
    objects: list[Object] = []
    for name in _NAMESPACES:
        labels = {"team": dice.choice(["red", "blue"]), "stage": dice.choice(["prod", "test"])}
        meta = {"name": name, "labels": labels}
        objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        account = {"name": "worker", "namespace": name, "labels": {"role": dice.choice("xy")}}
        objects.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    return objects


def _pods(dice: random.Random, count: int) -> list[Object]:
    objects: list[Object] = []
    for index in range(count):
        namespace, app = dice.choice(_NAMESPACES), dice.choice(_APPS)
        labels = {"app": app, "tier": dice.choice(_TIERS)}
        if dice.random() < 0.3:
            labels["canary"] = "true"
        ports = dice.sample(_PORTS, dice.choice([1, 2]))
        spec: Object = {"containers": [{"name": app, "image": f"{app}:1", "ports": ports}]}
        if dice.random() < 0.5:
            spec["serviceAccountName"] = "worker"
        meta = {"name": f"{app}-{index:02}", "namespace": namespace, "labels": labels}
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    return objects


def _kubernetes_policy(dice: random.Random, name: str) -> Object:
    """Return a Kubernetes NetworkPolicy."""
    types = dice.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    spec: Object = {"podSelector": _label_selector(dice), "policyTypes": types}
    if "Ingress" in types:
        spec["ingress"] = [_kubernetes_rule(dice, "from") for _ in range(dice.randint(0, 3))]
    if "Egress" in types:
        spec["egress"] = [_kubernetes_rule(dice, "to") for _ in range(dice.randint(1, 3))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": dice.choice(_NAMESPACES)},
        "spec": spec,
    }


def _kubernetes_rule(dice: random.Random, peers: str) -> Object:
    rule: Object = {}
    if dice.random() < 0.85:
        rule[peers] = [_kubernetes_peer(dice) for _ in range(dice.randint(1, 2))]
    if dice.random() < 0.5:
        rule["ports"] = [
            dice.choice(
                [
                    {"port": "http"},
                    {"port": 5432},
                    {"port": 8000, "endPort": 9000},
                    {"port": "dns", "protocol": "UDP"},
                    {"protocol": "UDP"},
                ]
            )
            for _ in range(dice.randint(1, 2))
        ]
    return rule


def _kubernetes_peer(dice: random.Random) -> Object:
    match dice.randrange(4):
        case 0:
            return {"podSelector": _label_selector(dice)}
        case 1:
            return {"namespaceSelector": _namespace_label_selector(dice)}
        case 2:
            return {
                "namespaceSelector": _namespace_label_selector(dice),
                "podSelector": _label_selector(dice),
            }
        case _:
            cidr = dice.choice(["10.244.0.0/16", "10.244.0.0/22", "fd00:10:244::/56"])
            block: Object = {"cidr": cidr}
            if cidr == "10.244.0.0/16" and dice.random() < 0.5:
                block["except"] = _nets(dice, 4, 1)
            return {"ipBlock": block}


def _label_selector(dice: random.Random) -> Object:
    match dice.randrange(5):
        case 0:
            return {}
        case 1:
            return {"matchLabels": {"app": dice.choice(_APPS)}}
        case 2:
            return {"matchLabels": {"tier": dice.choice(_TIERS)}}
        case 3:
            values = dice.sample(_APPS, 2)
            operator = dice.choice(["In", "NotIn"])
            return {"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}
        case _:
            operator = dice.choice(["Exists", "DoesNotExist"])
            return {"matchExpressions": [{"key": "canary", "operator": operator}]}


def _namespace_label_selector(dice: random.Random) -> Object:
    if dice.random() < 0.2:
        return {}
    if dice.random() < 0.3:
        return {"matchLabels": {"kubernetes.io/metadata.name": dice.choice(_NAMESPACES)}}
    return {"matchLabels": {"team": dice.choice(["red", "blue"])}}


def _calico_policy(dice: random.Random, name: str) -> Object:
    """Return a Calico NetworkPolicy."""
    spec = _calico_spec(dice)
    policy = _v3("NetworkPolicy", name, spec)
    policy["metadata"]["namespace"] = dice.choice(_NAMESPACES)
    return policy


def _global_policy(dice: random.Random, name: str) -> Object:
    """Return a GlobalNetworkPolicy, that leaves nodes alone."""
    spec = _calico_spec(dice)
    spec["namespaceSelector"] = dice.choice(["all()", "team == 'red'", "stage != 'prod'"])
    return _v3("GlobalNetworkPolicy", name, spec)


def _calico_spec(dice: random.Random) -> Object:
    types = dice.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    spec: Object = {
        "tier": dice.choice(["first", "second", "default", "default"]),
        "selector": _selector(dice),
        "types": types,
    }
    if dice.random() < 0.8:
        spec["order"] = dice.choice([1, 10, 10, 500, 1000, 2000])
    for direction in types:
        spec[direction.lower()] = [_calico_rule(dice) for _ in range(dice.randint(1, 4))]
    return spec


def _calico_rule(dice: random.Random) -> Object:
    rule: Object = {"action": dice.choices(["Allow", "Deny", "Pass", "Log"], [5, 2, 3, 1])[0]}
    family = dice.choice([4, 6])
    match dice.randrange(6):
        case 0:
            rule["protocol"] = "ICMP" if family == 4 else "ICMPv6"
            if dice.random() < 0.5:
                rule["icmp"] = {"type": 8 if family == 4 else 128}
        case 1 | 2:
            rule["protocol"] = dice.choice(["TCP", "UDP"])
            key = dice.choice(["ports", "ports", "notPorts"])
            ports: tuple[int | str, ...] = (8080, 5432, "8000:9000", "http", "dns")
            rule["destination"] = {key: [dice.choice(ports)]}
        case 3:
            rule["notProtocol"] = dice.choice(["TCP", "UDP"])
        case _:
            pass
    side = dice.choice(["source", "destination"])
    rule[side] = {**rule.get(side, {}), **_entity(dice, family)}
    return rule


def _entity(dice: random.Random, family: int) -> Object:
    """Return what a rule says of one side."""
    nets = {dice.choice(["nets", "notNets"]): _nets(dice, family, dice.randint(1, 2))}
    choices: Sequence[Object] = (
        {"selector": _selector(dice)},
        {"selector": _selector(dice), "namespaceSelector": "all()"},
        {"notSelector": _selector(dice)},
        {"namespaceSelector": dice.choice(["team == 'blue'", "has(stage)", "all()"])},
        {"serviceAccounts": {"names": ["worker"]}, "namespaceSelector": "all()"},
        {"serviceAccounts": {"selector": "role == 'x'"}},
        nets,
        {},
    )
    return dice.choice(choices)


def _selector(dice: random.Random) -> str:
    """Return an expression of the selector language, up to two terms deep."""
    terms = (
        "all()",
        f"app == '{dice.choice(_APPS)}'",
        f"app != '{dice.choice(_APPS)}'",
        f"tier in {{'{dice.choice(_TIERS)}', 'none'}}",
        f"tier not in {{'{dice.choice(_TIERS)}'}}",
        "has(canary)",
        "!has(canary)",
        f"app starts with '{dice.choice('acdqw')}'",
        f"tier contains '{dice.choice('aor')}'",
    )
    if dice.random() < 0.3:
        joint = dice.choice(["&&", "||"])
        return f"({dice.choice(terms)}) {joint} ({dice.choice(terms)})"
    return dice.choice(terms)


def _nets(dice: random.Random, family: int, count: int) -> list[str]:
    """Return networks that some pods of the lab are in: blocks of its pools, and halves of them."""
    if family == 6:
        return [f"fd00:10:244:{number:x}::/64" for number in dice.sample(range(4), count)]
    return [f"10.244.{number}.0/24" for number in sorted(dice.sample(range(8), count))]


def _v3(kind: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def main() -> None:
    """Print a world."""
    parser = argparse.ArgumentParser(prog="python -m chita.lab.random_world", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--pods", type=int, default=40)
    parser.add_argument("--policies", type=int, default=30)
    chosen = parser.parse_args()
    objects = random_world(chosen.seed, pods=chosen.pods, policies=chosen.policies)
    yaml.safe_dump_all(objects, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main()
