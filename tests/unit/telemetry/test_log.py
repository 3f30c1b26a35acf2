"""Lines of the log: one an event, readable by machines, whatever is in a value."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from chita.telemetry.log import LogFormat, configure, logger


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave the logging of the test process as it was."""
    root, ours = logging.getLogger(), logging.getLogger("chita")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level = handlers, level
    ours.setLevel(our_level)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format_=LogFormat.JSON)
    logger("agent").warning("route refused", dst="10.0.0.0/8", tries=3)

    line = json.loads(capsys.readouterr().err)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning", "component": "agent", "event": "route refused", "dst": "10.0.0.0/8",
        "tries": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("plain", "what=plain", id="word"),
        pytest.param(3, "what=3", id="number"),
        pytest.param("", 'what=""', id="empty"),
        pytest.param("two words", 'what="two words"', id="blank"),
        pytest.param("a=b", 'what="a=b"', id="equals"),
        pytest.param('say "so"', r'what="say \"so\""', id="quotes"),
        pytest.param("one\nlevel=error", r'what="one\nlevel=error"', id="forged-line"),
        pytest.param("over\rwritten", r'what="over\rwritten"', id="carriage-return"),
        pytest.param("\x1b[31mred", r'what="\u001b[31mred"', id="terminal-escape"),
    ],
)
def test_text(capsys: pytest.CaptureFixture[str], value: object, expected: str) -> None:
    """A value is one word, and an event one line."""
    configure(format_=LogFormat.TEXT)
    logger("agent").info("something", what=value)

    (line,) = capsys.readouterr().err.splitlines()

    assert line.endswith(f"level=info component=agent event=something {expected}")


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below the level is left out; libraries speak from warnings on."""
    configure(format_=LogFormat.TEXT, level="warning")
    logger("a").debug("no")
    logger("a").info("no")
    logger("a").error("yes")
    logging.getLogger("library").info("no")
    logging.getLogger("library").warning("yes")

    written = capsys.readouterr().err
    assert ["a", "library"] == re.findall(r"component=(\w+) event=yes", written)
    assert "event=no" not in written


def test_a_traceback_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(format_=LogFormat.TEXT)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger("agent").exception("sync failed")

    (line,) = capsys.readouterr().err.splitlines()

    assert "ZeroDivisionError: division by zero" in line
