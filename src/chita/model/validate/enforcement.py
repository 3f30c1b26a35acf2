"""What of a policy no node enforces: its status and warnings name it.

Each such field makes the policy let through less than was written, never more. Which fields these
are is the same on every node: a kernel without what the rest needs is refused by its agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chita.model.problem import Problem
from chita.model.schemas.policy import V3

Raw = Mapping[str, Any]


def unenforced(policy: Raw) -> list[Problem]:
    """Return the fields of a v3 *policy* or Profile that have no effect on the wire, and why."""
    spec = policy.get("spec")
    if policy.get("apiVersion") != V3 or not isinstance(spec, Mapping):
        return []
    return list(_http_rules(spec))


def _http_rules(spec: Raw) -> Iterator[Problem]:
    for direction in ("ingress", "egress"):
        rules = spec.get(direction)
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, Mapping) and rule.get("http") is not None:
                yield Problem(
                    f"spec.{direction}[{index}].http",
                    "is not enforced yet, so the rule allows nothing; the others count",
                )
