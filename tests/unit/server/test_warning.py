"""Warning headers: as RFC 7234 and KEP-1693 write them, and read back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.api.warning import texts
from chita.model.problem import Problem
from chita.server.warning import TOTAL_LENGTH, headers

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)


def test_the_form_of_a_header() -> None:
    found = headers([Problem("spec.x", 'is "odd" \\ here')])

    assert found == [("Warning", r'299 - "spec.x: is \"odd\" \\ here"')]


@given(st.lists(TEXT, max_size=5))
def test_what_is_sent_is_read(written: list[str]) -> None:
    """Each text once, in order, whether a proxy joins the headers or not (RFC 7230 3.2.2)."""
    values = [value for _, value in headers([Problem("", text) for text in written])]

    assert list(dict.fromkeys(written)) == texts(values)
    assert texts(values) == texts([", ".join(values)])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_nothing_in_a_text_begins_another_header(text: str) -> None:
    """RFC 7230 section 3.2: a line break would."""
    [(_, value)] = headers([Problem("", text)])

    assert not {*map(chr, range(32)), "\x7f"} & set(value)


def test_too_many_are_cut() -> None:
    """Clients and proxies take some kilobytes of headers."""
    found = headers([Problem(f"spec.rules[{index}]", "x" * 1000) for index in range(100)])

    assert found
    assert sum(len(value) for _, value in found) <= TOTAL_LENGTH + 20 * len(found)


@pytest.mark.parametrize(
    "value", ["", '110 - "Response is Stale"', "299", "299 - no quotes", '299 - "open']
)
def test_what_is_no_warning_of_ours_is_passed_over(value: str) -> None:
    assert texts([value]) == []
