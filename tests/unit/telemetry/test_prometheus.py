"""The text format, as its specification has it."""

from __future__ import annotations

from chita.telemetry.prometheus import Family, Kind, Sample, exposition


def test_families() -> None:
    """HELP and TYPE once, a line a sample; quotes, backslashes and line ends are escaped."""
    text = exposition(
        [
            Family("a_seconds", Kind.GAUGE, "One\nline.", [Sample(0.25)]),
            Family(
                "b_total",
                Kind.COUNTER,
                "With labels.",
                [Sample(123456789, {"to": "n1", "why": 'say "no"\\'}), Sample(1, {"to": "n2"})],
            ),
            Family("c", Kind.GAUGE, "Without samples.", []),
        ]
    )

    assert text == (
        "# HELP a_seconds One\\nline.\n"
        "# TYPE a_seconds gauge\n"
        "a_seconds 0.25\n"
        "# HELP b_total With labels.\n"
        "# TYPE b_total counter\n"
        'b_total{to="n1",why="say \\"no\\"\\\\"} 123456789\n'
        'b_total{to="n2"} 1\n'
    )
