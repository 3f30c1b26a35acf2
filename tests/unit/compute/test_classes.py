"""Label classes: they lump together what selectors cannot tell apart, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import namespace, workload
from chita.compute.classes import ClassIndex, classify
from chita.model.endpoint import WorkloadEndpoint
from chita.model.labels import NAMESPACE_PREFIX, inherit
from chita.model.selector import Selector, matches, mentioned_keys, parse_selector
from strategies import PODS, SELECTORS, namespaces, workloads

APPLIED = {
    "kns.a": namespace("a", team="blue").labels_to_apply,
    "kns.b": namespace("b", team="blue").labels_to_apply,
}
TEAM = f"{NAMESPACE_PREFIX}team"
PAIR = {
    "a/1": workload("a/1", "10.244.0.1", labels={"app": "web", "hash": "1"}),
    "b/2": workload("b/2", "10.244.0.2", labels={"app": "web", "hash": "2"}),
}


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        pytest.param(set[str](), 1, id="no-keys"),
        pytest.param({"app"}, 1, id="equal-labels"),
        pytest.param({"app", "hash"}, 2, id="own-label-differs"),
        pytest.param({TEAM}, 1, id="different-profiles-with-equal-labels"),
        pytest.param({f"{NAMESPACE_PREFIX}projectcalico.org/name"}, 2, id="inherited-differs"),
        pytest.param({"absent"}, 1, id="absent-label"),
    ],
)
def test_mentioned_keys_split(keys: set[str], count: int) -> None:
    """A label that no selector mentions splits nothing."""
    assert len(classify(PAIR, keys, APPLIED)) == count


def test_own_labels_win_and_missing_profiles_give_none() -> None:
    """v3 2.8: endpoint's own labels beat inherited labels."""
    own = workload("a/1", "10.244.0.1", labels={TEAM: "red"})
    lost = workload("c/1", "10.244.0.3")

    classes = classify({"own": own, "lost": lost}, {TEAM}, APPLIED)
    assert [{TEAM: "red"}, {}] == [each.labels for each in classes]


@pytest.mark.slow
@given(
    members=st.lists(st.sampled_from(PODS), unique=True).flatmap(
        lambda keys: st.tuples(*[workloads(key) for key in keys])
    ),
    blue=namespaces("blue"),
    selectors=st.lists(SELECTORS, min_size=1, max_size=4),
)
def test_index_selects_what_matches_member_by_member(
    members: tuple[WorkloadEndpoint, ...], blue: object, selectors: list[Selector]
) -> None:
    """Classes and the index change what it costs, never what is selected."""
    applied = {"kns.blue": blue.labels_to_apply}  # type: ignore[attr-defined]
    keys = frozenset().union(*map(mentioned_keys, selectors))
    index = ClassIndex(classify({each.key: each for each in members}, keys, applied))
    for selector in selectors:
        selected = {key for each in index.selected(selector) for key in each.members}
        expected = {
            each.key
            for each in members
            if matches(
                selector,
                inherit(each.labels, [applied[p] for p in each.profiles if p in applied]),
            )
        }

        assert expected == selected


def test_discarded_class_is_not_selected() -> None:
    """An index forgets by the labels it knew."""
    (only,) = classify({"a/1": PAIR["a/1"]}, {"app"}, {})
    index = ClassIndex([only])
    index.discard(only)

    assert index.selected(parse_selector("app == 'web'")) == []
    assert index.selected(parse_selector("all()")) == []


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("app == 'web'", {"a/1"}, id="one-value"),
        pytest.param("app in {'web', 'db'}", {"a/1", "a/2"}, id="several-values"),
        pytest.param("has(app)", {"a/1", "a/2", "a/3"}, id="any-value"),
        pytest.param("has(app) && rare == 'x'", {"a/3"}, id="the-rarest-pair"),
        pytest.param("app in {}", set[str](), id="no-value"),
        pytest.param("app != 'web'", {"a/2", "a/3", "a/4"}, id="without-a-pair"),
        pytest.param("!has(app)", {"a/4"}, id="absent"),
    ],
)
def test_selected(selector: str, expected: set[str]) -> None:
    """By whatever the index goes, all that match are found."""
    labels: tuple[dict[str, str], ...] = (
        {"app": "web"},
        {"app": "db"},
        {"app": "job", "rare": "x"},
        {},
    )
    members = {
        f"a/{i}": workload(f"a/{i}", f"10.244.0.{i}", labels=its) for i, its in enumerate(labels, 1)
    }
    index = ClassIndex(classify(members, {"app", "rare"}, {}))

    found = {key for each in index.selected(parse_selector(selector)) for key in each.members}
    assert expected == found
