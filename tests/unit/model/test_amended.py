"""Amended mappings: what a copied dict would be, and what they were made of stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chita.model.amended import SMALL, Amended, amended

BASE = {f"key-{number}": number for number in range(SMALL)}
KEYS = st.sampled_from(["key-0", "key-1", "new-1", "new-2"])
NEWS = st.lists(st.dictionaries(KEYS, st.none() | st.integers(0, 3)), max_size=6)


@given(NEWS)
def test_amended_is_the_copied_dict(changes: list[dict[str, int | None]]) -> None:
    """Whatever comes and goes, one change after the other; earlier versions do not notice."""
    held, copies = amended(BASE, {}), [dict(BASE)]
    versions = [held]
    for news in changes:
        held = amended(held, news)
        versions.append(held)
        copy = {**copies[-1], **{key: value for key, value in news.items() if value is not None}}
        copies.append({key: value for key, value in copy.items() if news.get(key, 0) is not None})

    for version, copy in zip(versions, copies, strict=True):
        assert copy == dict(version) == {key: version[key] for key in version}
        assert (len(copy), sorted(copy)) == (len(version), sorted(version))
        assert ("key-0" in copy, copy.get("new-1")) == ("key-0" in version, version.get("new-1"))


def test_one_change_copies_nothing() -> None:
    """Of a large mapping; a small one stays a dict."""
    assert isinstance(amended(BASE, {"key-0": 7}), Amended)
    assert {"a": 2} == amended({"a": 1}, {"a": 2})


def test_many_changes_are_copied_into_one_dict() -> None:
    """So that looking up costs no more after a day of changes."""
    held = amended(BASE, {})
    for number in range(SMALL):
        held = amended(held, {f"new-{number}": number})
        kept = len(held._news) if isinstance(held, Amended) else 0

        assert kept <= len(held) // 64
    assert 2 * SMALL == len(held)
