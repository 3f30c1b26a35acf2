"""The files that ``-f`` names, as texts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from chita.errors import InputError

STDIN: Final = "-"
_SUFFIXES: Final = (".json", ".yaml", ".yml")


def read_texts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file of *names*, in order.

    ``-`` is the standard input. A directory stands for the manifests directly in it, by name, as
    for kubectl.

    Raises:
        InputError: a file can't be read or is no UTF-8 text, or a directory has no manifest.
    """
    for name in names:
        if name == STDIN:
            yield "standard input", _decoded("standard input", sys.stdin.buffer.read())
        elif (path := Path(name)).is_dir():
            for inside in _manifests(path):
                yield str(inside), _read(inside)
        else:
            yield name, _read(path)


def _manifests(directory: Path) -> list[Path]:
    found = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)
    if not found:
        raise InputError(f"{directory} holds no file that ends in {', '.join(_SUFFIXES)}")
    return found


def _read(path: Path) -> str:
    try:
        return _decoded(str(path), path.read_bytes())
    except OSError as error:
        raise InputError(
            f"read {path}: {error.strerror}; write a file, a directory or -"
        ) from error


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"read {name}: byte {error.start + 1} is not UTF-8; save the file as UTF-8 text"
        ) from error
