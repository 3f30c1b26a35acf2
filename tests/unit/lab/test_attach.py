"""Which pods of a world get an interface."""

from __future__ import annotations

from chita.lab.attach import attached_pods
from lab_worlds import pod


def test_attached_pods() -> None:
    """A pod on its host's network has none of its own; a finished one has no network any more."""
    running = {**pod("running"), "status": {"phase": "Running"}}
    finished = [
        {**pod(phase.lower()), "status": {"phase": phase}} for phase in ("Succeeded", "Failed")
    ]
    on_host = pod("on-host")
    on_host["spec"] = {**on_host["spec"], "hostNetwork": True}

    assert attached_pods([pod("new"), running, *finished, on_host]) == [pod("new"), running]
