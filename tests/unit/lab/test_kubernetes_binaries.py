"""Kubernetes' programs: which releases there are, and what is said when they can't be built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chita.errors import EngineError, InputError, UnsupportedError
from chita.lab.kubernetes import binaries as built
from chita.lab.kubernetes.binaries import (
    NEWEST,
    PROGRAMS,
    binaries,
    cache_folder,
    release,
    releases,
)


@pytest.mark.parametrize("found", [pytest.param(it, id=it.minor) for it in releases().values()])
def test_a_release_pins_each_staging_module_and_imports_each_program(
    found: built.Release,
) -> None:
    text = (found.folder / "go.mod").read_text()
    staged = re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (\S+)$", text, re.MULTILINE)

    assert found.version.startswith(f"v{found.minor}.")
    assert set(staged) == {found.version.replace("v1.", "v0.")}
    assert len(staged) > 25
    for program in PROGRAMS:
        assert f'"k8s.io/kubernetes/cmd/{program}"' in (found.folder / "tools.go").read_text()
    assert f"k8s.io/kubernetes {found.version} h1:" in (found.folder / "go.sum").read_text()


def test_a_release_that_is_unknown_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=rf"1\.2 is not built here; choose one of .*{NEWEST}"):
        release("1.2")


def test_what_was_built_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = cache_folder(release(NEWEST))
    folder.mkdir(parents=True)

    assert folder == binaries()
    assert folder.is_relative_to(tmp_path)


def test_without_go_the_mend_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(built, "go_command", lambda: None)

    with pytest.raises(UnsupportedError, match="mend: put Go"):
        binaries()


def test_a_build_that_fails_leaves_nothing_and_tells_go_s_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'go: no such host' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(EngineError, match="no such host"):
        binaries()

    left = [it.name for it in (tmp_path / "chita/kubernetes").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []
