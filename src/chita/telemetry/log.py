"""Structured logs: one line an event, a constant lower-case phrase and keys, to standard error."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

import structlog


class LogFormat(StrEnum):
    """How lines look."""

    JSON = "json"
    TEXT = "text"


def configure(*, format_: LogFormat, level: str = "info") -> None:
    """Set up logging of this process, once, at its start."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if format_ is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def logger(component: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry *component*."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=component)
    return bound
