"""``chita validate``: what is wrong with manifests, before anything is applied."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby

import click
import msgspec

from chita.cli.files import read_texts
from chita.cli.output import Output, output_option, print_json
from chita.convert.documents import Documents, Entry, WorldProblem, read_documents
from chita.model.problem import Problem
from chita.model.validate.objects import validate as object_problems
from chita.model.validate.warnings import warnings as object_warnings


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one document; kind and names are as written, null where they are not."""

    kind: str | None
    namespace: str | None
    name: str | None
    valid: bool
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    """What has no effect, or another than written; a document may be valid with them."""
    file: str
    document: int
    line: int
    """Of the object; those of each problem and warning are in `lines` and `warning_lines`."""
    lines: tuple[int, ...] = ()
    warning_lines: tuple[int, ...] = ()


@click.command()
@click.option(
    "-f",
    "--filename",
    "filenames",
    multiple=True,
    metavar="FILE",
    help="A YAML or JSON file, a directory of them, or - for the standard input; may be repeated.",
)
@click.argument("more", nargs=-1, metavar="[FILE]...")
@output_option
def validate(filenames: Sequence[str], more: Sequence[str], output: Output) -> None:
    r"""Check the manifests in FILE, each by itself; change nothing.

    Policies and pools are checked as the API server does, with the field, the rule and what to
    write. Kinds that Chita does not know, such as a Deployment, are valid. What is valid and has no
    effect here is a warning, which does not change the exit status.

    Exits 0 when all are valid, 1 when one is not, 2 when one can't be read.

    \b
    Example:
        chita validate -f policies.yaml -o json
    """
    names = [*filenames, *more]
    if not names:
        raise click.UsageError("name what to check: -f FILE, -f DIRECTORY or -f -")
    read = [read_documents(text, file=name) for name, text in read_texts(names)]
    verdicts = [verdict for documents in read for verdict in _verdicts(documents)]
    match output:
        case Output.JSON:
            print_json(verdicts)
        case Output.TEXT:
            _print_text(verdicts)
    # What has no kind was not read as an object at all.
    if any(not problem.kind for documents in read for problem in documents.problems):
        sys.exit(2)
    sys.exit(0 if all(verdict.valid for verdict in verdicts) else 1)


def _verdicts(documents: Documents) -> list[Verdict]:
    """Return the answers in the order of the file."""
    found = [_checked(entry) for entry in documents.entries]
    found += [
        _refused(list(problems))
        for _, problems in groupby(documents.problems, key=lambda problem: problem.source.document)
    ]
    return sorted(found, key=lambda verdict: (verdict.document, verdict.line))


def _checked(entry: Entry) -> Verdict:
    found = [(entry.line_of(problem.field), problem) for problem in object_problems(entry.raw)]
    # In the order of the file, where several are to be mended.
    found.sort(key=lambda pair: pair[0])
    lines, problems = tuple(line for line, _ in found), tuple(problem for _, problem in found)
    verdict = _verdict(entry, problems, lines)
    told = sorted(object_warnings(entry.raw), key=lambda warning: entry.line_of(warning.field))
    return msgspec.structs.replace(
        verdict,
        warnings=tuple(told),
        warning_lines=tuple(entry.line_of(warning.field) for warning in told),
    )


def _refused(found: Sequence[WorldProblem]) -> Verdict:
    """Return the answer for a document of which the reader made no object."""
    problems = tuple(Problem(problem.field, problem.message) for problem in found)
    lines = tuple(problem.source.line for problem in found)
    return _verdict(found[0], problems, lines)


def _verdict(
    written: Entry | WorldProblem, problems: tuple[Problem, ...], lines: tuple[int, ...]
) -> Verdict:
    return Verdict(
        kind=written.kind or None,
        namespace=written.namespace or None,
        name=written.name or None,
        valid=not problems,
        problems=problems,
        file=written.source.file,
        document=written.source.document,
        line=written.source.line,
        lines=lines,
    )


def _print_text(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        what = " ".join(part for part in (verdict.kind, _full_name(verdict)) if part)
        found = list(zip(verdict.lines, map(str, verdict.problems), strict=True))
        found += [
            (line, f"warning: {warning}")
            for line, warning in zip(verdict.warning_lines, verdict.warnings, strict=True)
        ]
        for line, message in found:
            where = f"{verdict.file}:{line}: document {verdict.document}"
            click.echo(f"{where}: {what}: {message}" if what else f"{where}: {message}")
    wrong = sum(not verdict.valid for verdict in verdicts)
    click.echo(f"{len(verdicts)} documents, {wrong} invalid")


def _full_name(verdict: Verdict) -> str:
    return "/".join(part for part in (verdict.namespace, verdict.name) if part)
