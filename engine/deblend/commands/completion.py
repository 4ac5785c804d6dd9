"""Words that the shell completes where an argument takes others, too; known without the engine, which takes seconds."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

KINDS = (
    "point",
    "gaussian",
    "exponential",
    "de-vaucouleurs",
    "sersic",
    "moffat",
    "spergel",
    "spline",
    "galaxy",
    "learned",
    "vae",
    "free-form",
    "starlet",
)
"""What a source may be taken for, but for morphologies of a person's own."""
CONSTRAINTS = (
    "positivity",
    "correction",
    "symmetry",
    "monotonicity",
    "learned-prior",
    "bounds",
    "normalization",
    "center-on",
    "symmetric",
    "symmetric-minimum",
    "monotonic",
    "monotonic-cut",
    "connected",
    "l0",
    "l1",
    "starlet-sparsity",
    "total-variation",
    "noise-threshold",
    "color-bounds",
    "band-ratios",
)
"""What may be asked of a source."""


def completed_by(action: argparse.Action, words: Iterable[str]) -> None:
    """Have the shell complete an argument by words; it may be anything else, too."""
    known = tuple(words)

    def completer(**_: Any) -> tuple[str, ...]:
        return known

    action.completer = completer  # type: ignore[attr-defined]
