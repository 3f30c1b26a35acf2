"""Kubernetes label selectors as text of the v3 selector language, exactly as Calico writes it.

The text is shown to users (``chita convert``) and compared with Calico's, so its spelling counts:
``key == 'value'`` in the order of the keys, then the expressions in the order written
(libcalico-go/lib/backend/k8s/conversion).
"""

from __future__ import annotations

from enum import Enum, auto

from chita.convert.fields import Field
from chita.model.labels import ORCHESTRATOR
from chita.model.selector import parse_selector


class Selects(Enum):
    """What a label selector is about."""

    PODS = auto()
    """Its text also demands that the endpoint is a pod, so that it never selects a host."""
    NAMESPACES = auto()


def selector_text(selector: Field, selects: Selects) -> str:
    """Return the v3 text of *selector*.

    Unset is ``""`` for namespaces (no restriction by namespace) and any pod for pods; an empty
    namespace selector is ``all()``: any namespace.

    Raises:
        ConvertError: an operator that does not exist, an operator without or with values, or
            a value that the selector language cannot write.
    """
    terms: list[str] = []
    if selects is Selects.PODS:
        terms.append(f"{ORCHESTRATOR} == 'k8s'")
    labels = selector["matchLabels"].texts_by_key()
    terms += [f"{key} == '{labels[key]}'" for key in sorted(labels)]
    terms += [_term(expression) for expression in selector["matchExpressions"].items()]
    unknown = sorted(set(selector.map()) - {"matchLabels", "matchExpressions"})
    if unknown:
        raise selector[unknown[0]].error("label selectors have matchLabels and matchExpressions")
    if not terms:
        return "all()" if selector.is_set else ""
    text = " && ".join(terms)
    Field(text, selector.path).parsed(parse_selector)  # a key or value that cannot be written
    return text


def _term(expression: Field) -> str:
    key = expression["key"].required()
    operator = expression["operator"]
    values = expression["values"].texts()
    listed = "', '".join(values)
    if operator.text() in {"In", "NotIn"} and not values:
        raise expression["values"].error(f"operator {operator.value} needs at least one value")
    match operator.text():
        case "In":
            return f"{key} in {{ '{listed}' }}"
        case "NotIn":
            return f"{key} not in {{ '{listed}' }}"
        case "Exists":
            return f"has({key})"
        case "DoesNotExist":
            return f"! has({key})"
        case other:
            raise operator.error(f"'{other}' is not one of In, NotIn, Exists, DoesNotExist")
