"""What a user can mend: a stable reference, what is wrong, how to mend it, where to read on."""

from __future__ import annotations

import click
import msgspec

from chita.errors import (
    ApiError,
    ChitaError,
    ConflictError,
    ConvertError,
    EngineError,
    ExhaustedError,
    ExpiredError,
    InputError,
    KernelError,
    NotFoundError,
    ParseError,
    UnsupportedError,
)

_PAGE = "docs/reference/errors.md"


class Diagnostic(msgspec.Struct, frozen=True):
    """What is printed of an error."""

    reference: str
    """Stable: scripts and searches may rely on it."""
    message: str
    hint: str

    @property
    def link(self) -> str:
        """Its section of the documentation."""
        return f"{_PAGE}#{self.reference}"


_HINTS: dict[type[ChitaError], tuple[str, str]] = {
    ParseError: ("text-not-understood", "correct the text; the message says what it may be"),
    ConvertError: ("object-without-meaning", "correct the field; chita validate checks all of it"),
    InputError: ("input-not-usable", "correct what was given; --help has an example"),
    NotFoundError: ("not-found", "check the name; chita get lists what there is"),
    ConflictError: ("changed-meanwhile", "somebody else wrote first; look again and retry"),
    ExpiredError: ("version-expired", "list again, then watch from what the list says"),
    ApiError: ("api-refused", "check that the server runs and that the kubeconfig is its own"),
    UnsupportedError: ("feature-missing", "load the kernel module, or use a machine that has it"),
    KernelError: ("kernel-refused", "run as root, in the network namespace that was meant"),
    EngineError: ("engine-failed", "install the program, or look at its own messages"),
    ExhaustedError: ("nothing-left", "add a pool, or release what is no longer used"),
    ChitaError: ("failed", "the message says what failed"),
}


def diagnostic(error: ChitaError) -> Diagnostic:
    """Return what to print of *error*: by its class, or the nearest above that is known."""
    for class_ in type(error).__mro__:
        if class_ in _HINTS:
            reference, hint = _HINTS[class_]
            return Diagnostic(reference, str(error), hint)
    raise AssertionError("every ChitaError is a ChitaError")


def print_diagnostic(error: ChitaError) -> None:
    """Print *error* on the standard error."""
    found = diagnostic(error)
    click.echo(f"error: {found.message} [{found.reference}]", err=True)
    click.echo(f"  hint: {found.hint}", err=True)
    click.echo(f"  see: {found.link}", err=True)


def references() -> dict[str, str]:
    """Return every stable reference and its hint: what the documentation lists."""
    return dict(_HINTS.values())
