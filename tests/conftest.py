"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# How long something takes is measured by benchmarks; a busy machine fails no property.
settings.register_profile("chita", deadline=None)
settings.load_profile("chita")
