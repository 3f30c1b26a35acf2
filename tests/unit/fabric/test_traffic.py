"""Traffic: what the counters of sessions say of nodes."""

from __future__ import annotations

from chita.fabric.traffic import Traffic

NODES = {"key1": "n1", "key2": "n2", "old1": "n1"}


def test_a_node_is_busy_from_fifty_kilobytes_a_second() -> None:
    """All its sessions together; half of that keeps it so; one look says nothing yet."""
    traffic = Traffic()
    assert frozenset() == traffic.busy({"key1": 10**9, "key2": 0}, NODES, 0.0)
    counters = {"key1": 10**9 + 300_000, "old1": 0, "key2": 400_000}
    assert {"n1", "n2"} == traffic.busy(counters, NODES, 5.0)
    counters = {"key1": 10**9 + 450_000, "old1": 0, "key2": 400_000}
    assert {"n1"} == traffic.busy(counters, NODES, 10.0)
    assert frozenset() == traffic.busy(counters, NODES, 15.0)


def test_a_session_that_began_anew_counts_from_there() -> None:
    traffic = Traffic()
    traffic.busy({"key1": 10**9}, NODES, 0.0)

    assert frozenset() == traffic.busy({"key1": 100}, NODES, 5.0)
    assert {"n1"} == traffic.busy({"key1": 10**6}, NODES, 10.0)


def test_sessions_of_strangers_do_not_count() -> None:
    traffic = Traffic()
    traffic.busy({"other": 0}, NODES, 0.0)

    assert frozenset() == traffic.busy({"other": 10**9}, NODES, 5.0)
