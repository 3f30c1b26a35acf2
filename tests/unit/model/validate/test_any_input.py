"""Whatever JSON an object is, validation answers and defaults do no harm."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.model.defaults import apply_defaults
from chita.model.schema import ListOf, MapOf, Record, Schema
from chita.model.schemas.kinds import KINDS
from chita.model.schemas.metadata import METADATA
from chita.model.validate.objects import validate


def _names(schema: Schema) -> set[str]:
    match schema:
        case Record(fields=fields):
            return set(fields).union(*[_names(field) for field in fields.values()])
        case ListOf(item=inner) | MapOf(value=inner):
            return _names(inner)
        case _:
            return set()


# Names that mean something, so that wrong types get deep into the schemas.
_KEYS: Final = sorted(
    set().union(*[_names(schema.record(METADATA)) for schema in KINDS.values()]) | {"x"}
)
_SCALARS: Final = st.sampled_from(
    [None, True, False, 0, 1, -1, 4, 6, 70000, 1.5, "", "x", "a == 'b'", "Allow", "Delete", "TCP",
     "ICMP", "10.0.0.0/8", "fd00::/8", "80", "1:2", "all()", "global()", "default", "Egress"]
)  # fmt: skip
_JSON: Final = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=3)
    ),
    max_leaves=12,
)


def _objects(api_version: str, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    head = {"apiVersion": st.just(api_version), "kind": st.just(kind)}
    right = st.dictionaries(st.sampled_from(["name", "labels"]), _JSON)
    rules = st.fixed_dictionaries({"ingress": st.lists(_JSON, max_size=2), "tier": _JSON})
    return st.fixed_dictionaries({**head, "metadata": right | _JSON, "spec": rules | _JSON})


@pytest.mark.slow
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda key: _objects(*key)))
def test_any_input_is_answered(obj: dict[str, Any]) -> None:
    validate(obj)

    defaulted = apply_defaults(obj)

    assert defaulted == apply_defaults(defaulted)
