"""Files with keys and credentials: whole or not there, and for their owner's eyes alone."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Write *file* whole or not at all, readable by its owner alone (mode 0600).

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)  # an earlier attempt's, with whatever mode
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
