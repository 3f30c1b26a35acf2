"""Structured logs: one line an event, a constant lower-case phrase and keys, to standard error.

On the standard library: structlog loads rich where it is installed, a quarter of a second and 3 MiB
in every agent (docs/adr/0002-dependencies.md). Levels and destinations are `logging`'s, so that
libraries' own messages come out in the same form.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

_ROOT = "chita"
_FIELDS = "chita_fields"


class LogFormat(StrEnum):
    """How lines look."""

    JSON = "json"
    TEXT = "text"


class Logger:
    """Writes events of one component: a constant phrase, then keys and values."""

    def __init__(self, component: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{component}")

    def debug(self, event: str, **fields: Any) -> None:
        """Say what only a developer asks for."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Say that something changed."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say that something is wrong and being worked around or tried again."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Say that something is wrong and stays so."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Say that something nobody expected went wrong, with the traceback; in an except."""
        self._log(logging.ERROR, event, fields, traceback=True)

    def _log(
        self, level: int, event: str, fields: dict[str, Any], *, traceback: bool = False
    ) -> None:
        if self._logger.isEnabledFor(level):
            extra = {_FIELDS: fields}
            self._logger.log(level, event, extra=extra, exc_info=traceback, stacklevel=3)


class _Formatter(logging.Formatter):
    """Lines of key=value (logfmt), or of JSON."""

    def __init__(self, format_: LogFormat) -> None:
        super().__init__()
        self._format = format_

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        values: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "component": record.name.removeprefix(f"{_ROOT}."),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            values["traceback"] = self.formatException(record.exc_info)
        match self._format:
            case LogFormat.JSON:
                return json.dumps(values, default=str)
            case LogFormat.TEXT:
                return " ".join(f"{key}={_word(value)}" for key, value in values.items())


def configure(*, format_: LogFormat, level: str = "info") -> None:
    """Set up logging of this process, once, at its start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(format_))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_ROOT).setLevel(level.upper())


def logger(component: str) -> Logger:
    """Return a logger whose lines carry *component*."""
    return Logger(component)


def _word(value: Any) -> str:
    """Return *value* as one word of a logfmt line: quoted where it has spaces or quotes.

    Control characters are escaped too: what others write into objects makes no line of ours.
    """
    text = str(value)
    if not text or not text.isprintable() or any(char in text for char in ' "='):
        return json.dumps(text)
    return text
