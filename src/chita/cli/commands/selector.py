"""``chita selector``: what a selector means, and whether labels match it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import msgspec

from chita.cli.output import Output, output_option, print_json
from chita.errors import ParseError
from chita.model.selector import canonical, matches, parse_selector, point_at, uid


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``-o json`` prints; null is what there is no answer to."""

    valid: bool
    canonical: str | None = None
    uid: str | None = None
    problem: str | None = None
    matches: bool | None = None
    position: int | None = None
    """Where *problem* is: characters before it."""


@click.command()
@click.argument("expression", metavar="EXPR")
@click.option(
    "--labels",
    multiple=True,
    metavar="KEY=VALUE,...",
    help="Labels to match; empty for none at all. May be repeated.",
)
@output_option
def selector(expression: str, labels: Sequence[str], output: Output) -> None:
    r"""Parse the selector EXPR and print its canonical form and identity.

    Exits 0 when EXPR is a selector, whether labels match or not, and 1 when it is not.

    \b
    Example:
        chita selector "app == 'web' && has(tier)" --labels app=web,tier=front
    """
    answer = _answer(expression, _parse_labels(labels) if labels else None)
    match output:
        case Output.JSON:
            print_json(answer)
        case Output.TEXT:
            _print_text(expression, answer)
    sys.exit(0 if answer.valid else 1)


def _answer(expression: str, labels: dict[str, str] | None) -> Answer:
    try:
        parsed = parse_selector(expression)
    except ParseError as error:
        return Answer(valid=False, problem=str(error), position=error.position)
    return Answer(
        valid=True,
        canonical=canonical(parsed),
        uid=uid(parsed),
        matches=None if labels is None else matches(parsed, labels),
    )


def _parse_labels(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in ",".join(texts).split(","):
        key, equals, value = pair.strip().partition("=")
        if equals and key:
            found[key] = value
        elif pair.strip():
            raise click.BadParameter(f"'{pair}' is not KEY=VALUE", param_hint="--labels")
    return found


def _print_text(expression: str, answer: Answer) -> None:
    if answer.problem is not None:
        click.echo(answer.problem)
        click.echo(point_at(expression, answer.position or 0))
        return
    click.echo(f"canonical  {answer.canonical}")
    click.echo(f"uid        {answer.uid}")
    if answer.matches is not None:
        click.echo(f"matches    {'yes' if answer.matches else 'no'}")
