"""Mutated manifests: never an exception, and no refused rule enforced as written."""

from __future__ import annotations

import copy
import random
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import chita.lab
from chita.convert.entities import conversion, keys
from chita.model.defaults import apply_defaults
from chita.model.validate.objects import validate
from chita.model.validate.warnings import warnings

MUTATIONS: Final = 10_000
TESTS: Final = Path(__file__).parents[2]
EVERY_FIELD: Final = """
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: every-field}
spec:
  tier: default
  order: 10
  selector: app == 'web' && !has(quarantine)
  namespaceSelector: team in {'shop', 'ops'}
  serviceAccountSelector: has(trusted)
  types: [Ingress, Egress]
  performanceHints: [AssumeNeededOnEveryNode]
  ingress:
  - action: Allow
    ipVersion: 4
    protocol: TCP
    source: {nets: [10.0.0.0/8], notNets: [10.1.0.0/16], notSelector: has(x), notPorts: [1, '2:3']}
    destination: {ports: [80, '8000:8100', http], serviceAccounts: {names: [a], selector: has(b)}}
    http: {methods: [GET], paths: [{exact: /a}, {prefix: /b}]}
    metadata: {annotations: {a: b}}
  - {action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}, notICMP: {type: 3}}
  - {action: Pass, notProtocol: UDP, source: {services: {name: web, namespace: shop}}}
  egress:
  - {action: Log, destination: {namespaceSelector: global(), selector: has(role)}}
  - {action: Deny, destination: {services: {name: db, namespace: shop}}}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: old}
spec:
  priority: 5
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}}
  ingress:
  - action: Deny
    from: [{namespaces: {matchExpressions: [{key: a, operator: In, values: [b]}]}}]
    ports: [{portNumber: {port: 80}}, {portRange: {start: 1, end: 9}}, {namedPort: web}]
---
apiVersion: projectcalico.org/v3
kind: BGPFilter
metadata: {name: f}
spec:
  exportV4:
  - cidr: 10.0.0.0/8
    matchOperator: In
    prefixLength: {min: 16, max: 24}
    action: Accept
    operations: [{setPriority: {value: 9}}]
"""
JUNK: Final[list[Any]] = [
    None, True, False, 0, 1, -1, 6, 255, 65536, 1.5, 2**70, "", " ", "x", "X!", "a == 'b'", "!(",
    "global()", "Allow", "Deny", "Delete", "TCP", "ICMPv6", "10.0.0.0/8", "::/0", "0.0.0.0/0",
    "10.0.0.1/8", "80", "9:1", [], {}, [None], [[]], {"x": 1}, {"name": "n"}, [{"action": "Deny"}],
    "\ud800", "a" * 2000,
]  # fmt: skip
BENIGN: Final = re.compile(
    r"is already at|contradicts notProtocol|is not a DNS name|is not a text|characters, more than"
    r"|is not a (label|annotation)|items, more than"
)
RULE: Final = re.compile(r"spec\.(?:ingress|egress)\[\d+\]")
V3_POLICIES: Final = frozenset({"NetworkPolicy", "GlobalNetworkPolicy"})


def manifests() -> list[dict[str, Any]]:
    texts = [EVERY_FIELD]
    texts += [
        path.read_text(encoding="utf-8")
        for path in (
            *sorted((TESTS / "golden/cli").glob("shop.yaml")),
            Path(chita.lab.__path__[0]) / "default.yaml",
        )
    ]
    found = [obj for text in texts for obj in yaml.safe_load_all(text) if isinstance(obj, dict)]
    assert len(found) > 20
    return found


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container within *value* with each key or index of it."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return []
    return [(value, key) for key, _ in inner] + [
        place for _, item in inner for place in places(item)
    ]


def mutate(obj: dict[str, Any], chance: random.Random) -> None:
    container, key = chance.choice(places(obj))
    match chance.randrange(5):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[f"{key}x"] = container.pop(key)
        case 2 if isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        case 3:
            other, name = chance.choice(places(obj))
            container[key] = copy.deepcopy(other[name])
        case _:
            container[key] = copy.deepcopy(chance.choice(JUNK))


@pytest.mark.slow
def test_mutated_manifests() -> None:
    """Validation, defaults, warnings and conversion answer; conversion names what it must."""
    chance = random.Random(20240229)
    known = manifests()
    refused_objects = 0
    for _ in range(MUTATIONS):
        obj = copy.deepcopy(chance.choice(known))
        for _ in range(chance.randint(1, 3)):
            if places(obj):
                mutate(obj, chance)
        problems = validate(obj)
        warnings(obj)
        answer = conversion(obj)
        keys(obj)
        conversion(apply_defaults(obj))
        refused_objects += bool(problems)
        assert problems or not answer.problems, (obj, answer.problems)
        if str(obj.get("kind")) in V3_POLICIES and "projectcalico" in str(obj.get("apiVersion")):
            refused = {
                path[0]
                for problem in problems
                if (path := RULE.match(problem.field)) and not BENIGN.search(problem.message)
            }
            named = {path[0] for found in answer.problems if (path := RULE.match(found.field))}
            told = [str(problem) for problem in problems]
            assert not answer.entities or refused <= named, told

    # Not all were harmless, nor all nonsense.
    assert MUTATIONS * 0.2 < refused_objects < MUTATIONS * 0.99
