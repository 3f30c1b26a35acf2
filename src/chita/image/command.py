"""Runs the programs that images are made with."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from chita.errors import EngineError
from chita.image.layer import EPOCH_S

_LAST_LINES = 8


def run(command: Sequence[str]) -> str:
    """Run *command* as a repeatable build does; return what it printed.

    Its time is `EPOCH_S` (``SOURCE_DATE_EPOCH``), its language none, and what it writes can be read
    by all, whoever builds.

    Raises:
        EngineError: it failed; the message ends with its last words.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
        env={
            **os.environ,
            "SOURCE_DATE_EPOCH": str(EPOCH_S),
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
        },
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-_LAST_LINES:])
        raise EngineError(f"{Path(command[0]).name} failed with {done.returncode}:\n{last}")
    return done.stdout
