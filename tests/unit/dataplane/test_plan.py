"""The one diff: plan turns actual into desired, apply goes on after a refusal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chita.dataplane.plan import Plan, apply, plan, sync
from chita.errors import KernelError

STATES = st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 3))


class Table:
    """Entries that refuse some keys."""

    def __init__(self, held: dict[str, int | None], refused: str = "") -> None:
        self.held = dict(held)
        self.refused = refused
        self.steps: list[str] = []

    def read(self) -> dict[str, int | None]:
        return dict(self.held)

    def put(self, key: str, value: int | None) -> None:
        self._step("put", key)
        self.held[key] = value

    def remove(self, key: str) -> None:
        self._step("remove", key)
        del self.held[key]

    def _step(self, verb: str, key: str) -> None:
        self.steps.append(f"{verb} {key}")
        if key in self.refused:
            raise KernelError(f"{verb} {key}: EPERM")


@given(desired=STATES, actual=STATES)
def test_sync_turns_actual_into_desired(
    desired: dict[str, int | None], actual: dict[str, int | None]
) -> None:
    """From any state to any other; the second time there is nothing to do."""
    table = Table(actual)

    assert sync(desired, table) == {}
    assert table.held == desired

    table.steps.clear()
    assert sync(desired, table) == {}
    assert table.steps == []


def test_plan_is_false_when_nothing_changes() -> None:
    """A missing key differs from one whose value is None."""
    assert not plan({"a": None}, {"a": None})
    assert plan({"a": None}, {}) == Plan({"a": None}, ())
    assert plan({}, {"a": None}) == Plan({}, ("a",))


def test_puts_come_first_and_refusals_do_not_stop_the_rest() -> None:
    """What moves is never missing; the caller learns of each refusal."""
    table = Table({"a": 1, "b": 1, "c": 1}, refused="bd")

    refused = apply(plan({"e": 1, "d": 1, "a": 2}, table.read()), table.put, table.remove)

    assert table.steps == ["put e", "put d", "put a", "remove b", "remove c"]
    assert {key: str(error) for key, error in refused.items()} == {
        "d": "put d: EPERM",
        "b": "remove b: EPERM",
    }
