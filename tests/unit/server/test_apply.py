"""Server-side apply and field ownership."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.model.kinds import Kind, known_kind
from chita.server import field_set, ownership
from chita.server.apply import LAST_APPLIED, Apply, Force
from chita.server.ownership import Operation
from chita.server.request import Part
from chita.server.status import RefusedError


def kind(name: str, version: str = "v1") -> Kind:
    return known_kind(version, name)


SERVICE = kind("Service")
POD = kind("Pod")


def service(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def wish(
    config: dict[str, Any], manager: str = "one", force: Force = Force.NO, of: Kind = SERVICE
) -> Apply:
    return Apply(kind=of, config=config, manager=manager, force=force, part=Part.OBJECT)


def owners(value: dict[str, Any]) -> dict[str, set[str]]:
    return {
        m.name: {field_set.text_of(path) for path in m.fields} for m in ownership.managers_of(value)
    }


def test_apply_owns_what_it_says() -> None:
    made = wish(service(type="ClusterIP", ports=[{"port": 80, "name": "http"}])).created()

    expected = {
        ".spec.type",
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].port',
        '.spec.ports[port=80,protocol="TCP"].name',
    }
    assert {"one": expected} == owners(made)


def test_apply_again_changes_nothing() -> None:
    made = wish(service(type="ClusterIP")).created()

    assert made == wish(service(type="ClusterIP")).applied(made)


def test_a_field_left_out_goes_away() -> None:
    """Field, keyed item and label go with the wish; what others set stays."""
    config = service(type="ClusterIP", ports=[{"port": 80}, {"port": 443}], selector={"a": "b"})
    made = wish(config).created()
    shared = wish(service(ports=[{"port": 443, "name": "tls"}]), "two").applied(made)
    after = wish(service(type="ClusterIP")).applied(shared)

    assert after["spec"] == {"type": "ClusterIP", "ports": [{"port": 443, "name": "tls"}]}


def test_conflict_names_manager_and_field() -> None:
    made = wish(service(type="ClusterIP")).created()
    with pytest.raises(RefusedError) as caught:
        wish(service(type="NodePort"), "two").applied(made)

    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "one" using v1',
        "field": ".spec.type",
    }
    assert caught.value.status == 409
    assert [cause] == caught.value.details["causes"]


def test_force_takes_the_field() -> None:
    made = wish(service(type="ClusterIP")).created()
    taken = wish(service(type="NodePort"), "two", Force.YES).applied(made)

    assert taken["spec"]["type"] == "NodePort"
    assert {"two": {".spec.type"}} == owners(taken)


def test_equal_values_are_shared() -> None:
    """Two that want the same value own it both: no conflict, and it stays until both let go."""
    made = wish(service(type="NodePort", sessionAffinity="None")).created()
    both = wish(service(type="NodePort"), "two").applied(made)
    one_left = wish(service(sessionAffinity="None")).applied(both)

    assert one_left["spec"]["type"] == "NodePort"


def test_update_takes_what_it_changes() -> None:
    made = wish(service(type="ClusterIP", sessionAffinity="None")).created()
    changed = service(type="NodePort", sessionAffinity="None")
    after = ownership.track(SERVICE, made, changed, manager="edit", part=Part.OBJECT)

    assert {"one": {".spec.sessionAffinity"}, "edit": {".spec.type"}} == owners(after)
    with pytest.raises(RefusedError, match="edit"):
        wish(service(type="ClusterIP")).applied(after)


def test_untracked_objects_stay_untracked() -> None:
    """Nobody applied it: an update leaves no managedFields, even if the client sent some."""
    sent = service(type="NodePort")
    sent["metadata"]["managedFields"] = [{"manager": "x"}]
    after = ownership.track(SERVICE, service(), sent, manager="edit", part=Part.OBJECT)

    assert "managedFields" not in after["metadata"]


def test_first_apply_to_an_untracked_object() -> None:
    """What was there belongs to before-first-apply, but kubectl may change what it last applied."""
    live = service(type="ClusterIP", sessionAffinity="None")
    noted = msgspec.json.encode(service(type="ClusterIP")).decode()
    live["metadata"]["annotations"] = {LAST_APPLIED: noted}
    with pytest.raises(RefusedError, match="before-first-apply"):
        wish(service(sessionAffinity="ClientIP"), "kubectl").applied(live)

    after = wish(service(type="NodePort"), "kubectl").applied(live)
    assert after["spec"] == {"type": "NodePort", "sessionAffinity": "None"}


def test_status_is_no_part_of_an_apply_to_the_object() -> None:
    config = {**service(type="ClusterIP"), "status": {"loadBalancer": {"x": 1}}}

    assert {"one": {".spec.type"}} == owners(wish(config).created())


STEP = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', "v:1"])
PATH = st.tuples(STEP) | st.tuples(STEP, STEP) | st.tuples(STEP, STEP, STEP)
PATHS = st.frozensets(PATH, max_size=8)


@given(PATHS)
def test_fields_v1_round_trip(paths: frozenset[tuple[str, ...]]) -> None:
    assert paths == field_set.decode(field_set.encode(paths))


def _port(port: Any) -> int:
    number: int = port["port"]
    return number


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ClusterIP", "NodePort"]),
        "selector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"port": st.sampled_from([80, 443])}, optional={"name": st.sampled_from("mn")}
            ),
            max_size=2,
            unique_by=_port,
        ),
    },
)


@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), CONFIGS), min_size=1, max_size=5))
def test_the_last_forced_wish_holds(wishes: list[tuple[str, dict[str, Any]]]) -> None:
    """After a forced apply its fields have its values, and applying again changes nothing."""
    live = wish(service(**wishes[0][1]), wishes[0][0]).created()
    for manager, spec in wishes:
        asked = wish(service(**spec), manager, Force.YES)
        live = asked.applied(live)
        found = field_set.fields_of(SERVICE, live)
        for path, expected in field_set.fields_of(SERVICE, service(**spec)).items():
            if expected not in ({}, []):  # an empty one may have gained another's items
                assert expected == found[path]
        assert live == asked.applied(live)
        assert all(m.operation is Operation.APPLY for m in ownership.managers_of(live))
