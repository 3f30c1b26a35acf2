"""Folding changes, and which of them are news."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import cluster, namespace, workload
from chita.model.cluster import Change, ClusterState, Put, Remove, fold, news
from chita.model.endpoint import WorkloadEndpoint
from chita.model.policy import Tier

WEB, MOVED, API = (
    workload("shop/web", "10.244.0.1"),
    workload("shop/web", "10.244.0.2"),
    workload("shop/api", "10.244.0.3"),
)
GONE = Remove(WorkloadEndpoint, "shop/web")
HELD = cluster(WEB, namespace("shop"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([Put(WEB)], [], id="said-again"),
        pytest.param([Put(MOVED)], [Put(MOVED)], id="changed"),
        pytest.param([Put(API)], [Put(API)], id="new"),
        pytest.param([GONE], [GONE], id="gone"),
        pytest.param([Remove(WorkloadEndpoint, "shop/api")], [], id="never-was"),
        pytest.param([Put(MOVED), Put(WEB)], [], id="there-and-back"),
        pytest.param([GONE, Put(WEB)], [], id="gone-and-back"),
        pytest.param([Put(API), Remove(WorkloadEndpoint, "shop/api")], [], id="came-and-went"),
        pytest.param([Put(WEB), GONE], [GONE], id="the-last-word-counts"),
    ],
)
def test_news(changes: list[Change], expected: list[Change]) -> None:
    assert news(HELD, changes) == expected


CHANGES: list[Change] = [
    Put(WEB),
    Put(MOVED),
    Put(API),
    Put(namespace("shop")),
    Put(namespace("shop", team="x")),
    GONE,
    Remove(WorkloadEndpoint, "shop/api"),
    Remove(Tier, "default"),
]


@given(st.lists(st.sampled_from(CHANGES)), st.lists(st.sampled_from(CHANGES)))
def test_news_lead_to_the_same_state(before: list[Change], changes: list[Change]) -> None:
    state = fold(ClusterState(), before)

    assert fold(state, news(state, changes)) == fold(state, changes)
