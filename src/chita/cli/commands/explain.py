"""``chita explain``: whether flows are allowed, and what decides it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import click
import msgspec
from msgspec import UNSET, UnsetType

from chita.cli.files import read_texts
from chita.cli.flows import Asked, Inquiry, Question, decisive, matrix
from chita.cli.output import Output, output_option, print_json
from chita.cli.session import load_world, world_options
from chita.compute.explain import (
    DirectionSummary,
    FlowExplanation,
    FlowSummary,
    explanation_text,
)
from chita.compute.explain import explain as explanation
from chita.compute.flow import Verdict
from chita.errors import InputError, NotFoundError
from chita.model.net import protocol_name

BATCH = 500
"""How many answers are printed at once."""


class MatrixEntry(FlowSummary, frozen=True, kw_only=True, rename={"from_": "from"}):
    """An element of what ``--all -o json`` prints: a question and its answer."""

    from_: str
    to: str
    port: int | None
    protocol: str | int
    family: int | None


class Report(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What ``-o json`` prints of one flow."""

    from_: str
    to: str
    port: int | None
    protocol: str | int
    source: str | None
    destination: str | None
    """The addresses tried; behind a service, its endpoint's. Null: it has no endpoint."""
    sender: str | UnsetType = UNSET
    """The pod that sends, where a Deployment or the like was named."""
    backend: str | None
    """The pod behind the service, or the one of a Deployment or the like that was named."""
    verdict: Verdict
    egress: DirectionSummary
    """With all that was looked at, unless there was no endpoint to try."""
    ingress: DirectionSummary
    pending: Verdict | UnsetType = UNSET
    """What it would be if staged policies were enforced; only where one applies."""


@click.command()
@world_options
@click.option("--from", "from_", metavar="X", help="Who sends: namespace/pod, host:node, address.")
@click.option("--to", metavar="Y", help="Who receives: as --from, or a service (svc:ns/name).")
@click.option("--port", type=click.IntRange(1, 65535), help="Destination port, 1 to 65535.")
@click.option(
    "--protocol",
    default="TCP",
    show_default=True,
    help="TCP, UDP, SCTP, ICMP, ICMPv6 or a number, 1 to 255.",
)
@click.option(
    "--family", type=click.Choice(["4", "6"]), help="IP version where both ends have both."
)
@click.option("--flows", metavar="FILE", help="Ask many: a JSON list of from, to, port, protocol.")
@click.option("--all", "all_", is_flag=True, help="Ask for all pods and all their ports.")
@output_option
def explain(  # noqa: PLR0913, PLR0917 - one parameter an option
    filenames: Sequence[str],
    kubeconfig: Path | None,
    from_: str | None,
    to: str | None,
    port: int | None,
    protocol: str,
    family: str | None,
    flows: str | None,
    all_: bool,  # noqa: FBT001 - a flag of the command line
    output: Output,
) -> None:
    r"""Say whether a flow is allowed in the cluster that FILE describes, and what decides it.

    FILE holds ordinary manifests: namespaces, pods or deployments, services, policies of every
    kind. Nothing is applied. What a cluster would add (addresses, default namespaces) is added.

    A Deployment, StatefulSet or DaemonSet stands for the first of its pods, by name; which one it
    is, is said. A service of the same name is meant before it.

    One flow: exits 0 when it is allowed, 1 when it is denied. With --flows or --all: prints a
    list in the order of the questions and exits 0.

    \b
    Example:
        chita explain -f world.yaml --from shop/web --to shop/db --port 5432
        chita explain -f world.yaml --from shop/web --to svc:shop/db --port 5432 -o json
        chita explain -f world.yaml --flows flows.json -o json
        chita explain -f world.yaml --all
    """
    single = from_ is not None or to is not None
    if single + (flows is not None) + all_ != 1:
        raise click.UsageError("ask with --from and --to, or with --flows FILE, or with --all")
    if single and (from_ is None or to is None):
        raise click.UsageError("one flow needs both --from and --to")
    inquiry = Inquiry(load_world(filenames, kubeconfig))
    if from_ is not None and to is not None:
        ip = None if family is None else int(family)
        question = Question(from_=from_, to=to, port=port, protocol=protocol, family=ip)
        sys.exit(_explain_one(inquiry, question, output))
    if flows is not None:
        _print_list(_answers(inquiry, _read_questions(flows)), output)
    else:
        _print_list(_matrix(inquiry), output)


def _read_questions(name: str) -> list[Question]:
    ((_, text),) = read_texts([name])
    try:
        return msgspec.json.decode(text, type=list[Question], strict=False)
    except msgspec.DecodeError as error:
        raise InputError(
            f"read {name}: {error}; write a JSON list such as "
            '[{"from": "shop/web", "to": "shop/db", "port": 5432, "protocol": "TCP"}]'
        ) from error


def _answers(
    inquiry: Inquiry, questions: Iterable[Question]
) -> Iterator[tuple[Question, FlowSummary]]:
    """Yield each question with its answer."""
    for index, question in enumerate(questions):
        try:
            yield question, inquiry.ask(question)
        except InputError as error:
            raise InputError(f"flow {index}: {error}") from error
        except NotFoundError as error:
            raise NotFoundError(f"flow {index}: {error}") from error


def _matrix(inquiry: Inquiry) -> Iterator[tuple[Question, FlowSummary]]:
    """Yield every question of the matrix with its answer, which repeats the question."""
    for question in matrix(inquiry):
        answer = inquiry.ask(question)
        yield (
            question,
            MatrixEntry(
                from_=question.from_,
                to=question.to,
                port=question.port,
                protocol=question.protocol,
                family=question.family,
                verdict=answer.verdict,
                pending=answer.pending,
                egress=answer.egress,
                ingress=answer.ingress,
            ),
        )


def _print_list(answers: Iterable[tuple[Question, FlowSummary]], output: Output) -> None:
    """Print *answers* as they come, some hundreds at a time: a matrix may be large."""
    encoder = msgspec.json.Encoder()
    answered = iter(answers)
    before = "["
    while batch := list(islice(answered, BATCH)):
        match output:
            case Output.TEXT:
                click.echo("\n".join([_line(question, answer) for question, answer in batch]))
            case Output.JSON:
                texts = [encoder.encode(answer).decode() for _, answer in batch]
                click.echo(before + ",\n ".join(texts), nl=False)
                before = ",\n "
    if output is Output.JSON:
        click.echo("[]" if before == "[" else "]")


def _line(question: Question, answer: FlowSummary) -> str:
    port = f" {question.port}" if question.port else ""
    family = f" IPv{question.family}" if question.family else ""
    what = f"{question.protocol}{port}{family}"
    return f"{answer.verdict:<6} {question.from_} -> {question.to} {what}"


def _explain_one(inquiry: Inquiry, question: Question, output: Output) -> int:
    tried = inquiry.tried(question)
    asked = decisive(tried)
    match output:
        case Output.JSON:
            print_json(_report(inquiry, asked))
        case Output.TEXT:
            _print_text(inquiry, asked, tried)
    return 0 if asked.answer.verdict is Verdict.ALLOW else 1


def _report(inquiry: Inquiry, asked: Asked) -> Report:
    flow = asked.flow
    found: FlowSummary | FlowExplanation = asked.answer
    if flow is not None:
        found = explanation(inquiry.evaluator, flow)
    return Report(
        from_=asked.question.from_,
        to=asked.question.to,
        port=flow.destination_port if flow and flow.icmp_type is None else asked.question.port,
        protocol=protocol_name(flow.protocol) if flow else asked.question.protocol,
        source=str(flow.source) if flow else None,
        destination=str(flow.destination) if flow else None,
        sender=asked.sender or UNSET,
        backend=asked.backend or None,
        verdict=found.verdict,
        pending=found.pending,
        egress=found.egress,
        ingress=found.ingress,
    )


def _print_text(inquiry: Inquiry, asked: Asked, tried: Sequence[Asked]) -> None:
    question, flow = asked.question, asked.flow
    if flow is None:
        click.echo(f"{_line(question, asked.answer)}\n  {asked.answer.egress.why}")
        return
    what = protocol_name(flow.protocol)
    if flow.icmp_type is None:
        what += f" {flow.destination_port}"
    to = f"{question.to} by {asked.backend}" if asked.backend else question.to
    sender = f"{question.from_} by {asked.sender}" if asked.sender else question.from_
    click.echo(f"{sender} ({flow.source}) -> {to} ({flow.destination}) {what}")
    click.echo(explanation_text(explanation(inquiry.evaluator, flow)))
    if (other := _other_family(inquiry, asked)) is not None:
        click.echo(f"IPv6 fares otherwise: {other.verdict}; ask with --family 6.")
    if len(tried) > 1:
        denied = sum(each.answer.verdict is Verdict.DENY for each in tried)
        click.echo(f"The service has {len(tried)} endpoints; {denied} of them are denied.")


def _other_family(inquiry: Inquiry, asked: Asked) -> FlowSummary | None:
    """Return the answer for IPv6 where the question left the family open and it differs."""
    question = asked.question
    if question.family is not None or asked.flow is None or asked.flow.source.family == 6:
        return None
    try:
        other = inquiry.ask(msgspec.structs.replace(question, family=6))
    except InputError:
        return None  # not both ends have an IPv6 address
    return None if other.verdict is asked.answer.verdict else other
