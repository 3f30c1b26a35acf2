"""The repository's own rules: budgets, names, and that it speaks of Chita alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
BANNED_NAMES = re.compile(
    r"(^|_)(manager|helper|util|utils|handler|processor|common|misc|info)($|_)"
)


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git tracks below *patterns*."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


MODULES = tracked("src/*.py")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_at_most_400_lines(module: Path) -> None:
    """A module that does not fit holds more than one noun."""
    assert len(module.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_named_for_a_noun(module: Path) -> None:
    """Words that say nothing name nothing."""
    assert not BANNED_NAMES.search(module.stem)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_why_it_exists(module: Path) -> None:
    """Every module that holds anything begins with a docstring; packages' own files are empty."""
    text = module.read_text()
    assert not text.strip() or text.startswith('"""')


def test_requirements_have_hashes_and_no_address() -> None:
    """Locked files say what, with hashes; where from is the machine's business."""
    for lock in tracked("requirements/*.txt"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "index-url" not in text


def test_every_decision_is_numbered_once() -> None:
    """ADR numbers are unique."""
    numbers = [path.name[:4] for path in tracked("docs/adr/*.md")]

    assert sorted(set(numbers)) == sorted(numbers)


def test_every_link_in_the_documents_leads_somewhere() -> None:
    """Relative links of Markdown pages name files that exist."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*tracked("docs/*.md"), *tracked("*.md"), *tracked("examples/*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]

    assert [] == broken
