"""``chita convert``: Kubernetes policies as the v3 policies they become."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click
import msgspec
import yaml

from chita.cli.output import Output, output_option, print_json
from chita.cli.session import filename_option, read_entries
from chita.convert.admin_network_policy import (
    admin_network_policy,
    baseline_admin_network_policy,
)
from chita.convert.cluster_network_policy import cluster_network_policy
from chita.convert.documents import Entry, WorldProblem
from chita.convert.network_policy import V3Policy, network_policy
from chita.model.problem import Problem
from chita.model.validate.warnings import warnings

_CONVERSIONS: Final[dict[tuple[str, str], Callable[[Mapping[str, Any]], V3Policy]]] = {
    ("networking.k8s.io/v1", "NetworkPolicy"): network_policy,
    ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"): cluster_network_policy,
    ("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy"): admin_network_policy,
    ("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy"): (
        baseline_admin_network_policy
    ),
}
_POLICY_GROUPS: Final = ("policy.networking.k8s.io",)
_OTHERS: Final = {
    ("extensions/v1beta1", "NetworkPolicy"): "networking.k8s.io/v1",
    ("networking.k8s.io/v1beta1", "NetworkPolicy"): "networking.k8s.io/v1",
}


class Converted(msgspec.Struct, frozen=True):
    """The answer for one Kubernetes policy."""

    policy: dict[str, Any] | None
    """Null when none comes of it."""
    errors: tuple[Problem, ...] = ()
    """What of it was left out, or why there is none."""


@click.command()
@filename_option
@output_option
def convert(filenames: Sequence[str], output: Output) -> None:
    r"""Print the Kubernetes policies in FILE as the v3 policies that are enforced for them.

    NetworkPolicy, ClusterNetworkPolicy (v1alpha2) and what it replaced, AdminNetworkPolicy and
    BaselineAdminNetworkPolicy (v1alpha1), in the order of the documents; other kinds are passed
    over. Text output is YAML that ``kubectl apply`` takes.

    Exits 0 when all of every policy was converted, 1 when something was left out, 2 when a
    document can't be read.

    \b
    Example:
        chita convert -f network-policies.yaml -o json
    """
    documents = read_entries(filenames)
    found = [(entry, answer) for entry in documents.entries if (answer := _converted(entry))]
    for problem in documents.problems:
        click.echo(f"error: {problem}", err=True)
    for entry, _ in found:
        for warning in warnings(entry.raw):
            click.echo(f"warning: {entry.problem(warning.field, warning.message)}", err=True)
    match output:
        case Output.JSON:
            print_json([answer for _, answer in found])
        case Output.TEXT:
            _print_yaml(found)
    if any(_is_unread(problem) for problem in documents.problems):
        sys.exit(2)
    sys.exit(1 if documents.problems or any(answer.errors for _, answer in found) else 0)


def _is_unread(problem: WorldProblem) -> bool:
    return not problem.kind


def _converted(entry: Entry) -> Converted | None:
    """Return what a document becomes; None for one that is no Kubernetes policy."""
    which = (entry.api_version, entry.kind)
    if which in _CONVERSIONS:
        v3 = _CONVERSIONS[which](entry.raw)
        return Converted(v3.policy, v3.problems)
    if which in _OTHERS:
        return Converted(None, (Problem("apiVersion", f"write {_OTHERS[which]}"),))
    if entry.api_version.partition("/")[0] in _POLICY_GROUPS:
        message = (
            f"{entry.api_version} {entry.kind} is not supported; "
            "write policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy"
        )
        return Converted(None, (Problem("apiVersion", message),))
    return None


def _print_yaml(found: Sequence[tuple[Entry, Converted]]) -> None:
    for entry, answer in found:
        for error in answer.errors:
            click.echo(f"error: {entry.problem(error.field, error.message)}", err=True)
        if answer.policy is not None:
            click.echo("---")
            click.echo(_yaml(answer.policy), nl=False)


class _Plain(yaml.SafeDumper):
    """Writes a value that stands twice in full each time, as people do."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that nothing becomes an anchor."""
        del data
        return True


def _yaml(policy: dict[str, Any]) -> str:
    text: str = yaml.dump(policy, Dumper=_Plain, sort_keys=False, width=100)
    return text
