"""What kind of source the next click adds, chosen by keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deblend.scene import MORPHOLOGIES

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

KINDS_OF_KEYS = (
    "point",
    "galaxy",
    "exponential",
    "de-vaucouleurs",
    "sersic",
    "gaussian",
    "free-form",
    "starlet",
    "learned",
)
"""The kinds that Alt and a digit choose, from 1."""


def choose_kind(kind: str) -> Callable[[Workbench], None]:
    """Return the action that has sources added from now on be of a kind."""
    assert kind in MORPHOLOGIES

    def choose(bench: Workbench) -> None:
        bench.kind = kind
        bench.kind_changed.emit(kind)
        bench.tell(f"New sources are of the kind {kind}; Shift-click adds one.")

    return choose
