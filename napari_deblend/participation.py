"""Which sources a fit may change."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from deblend.infer import neighbours

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class Participation(Enum):
    """What takes part in a fit; the value is what a person calls it. Locked sources never do."""

    ALL = "All but locked"
    SELECTED = "Selected"
    NEIGHBOURS = "Selected and neighbours"
    OTHERS = "All but selected"


SENTENCES = {
    Participation.ALL: "Every source that is not locked",
    Participation.SELECTED: "The selected sources; all others stay as they are, to the last digit",
    Participation.NEIGHBOURS: "The selected sources, and all that share a box with one of them",
    Participation.OTHERS: "All but the selected sources",
}


def taking_part(bench: Workbench) -> tuple[str, ...] | None:
    """Return the ids of the sources that a fit begun now may change, None for all of them; raises ValueError where
    none is selected that would have to be."""
    document, wanted = bench.document, bench.participation
    if wanted is Participation.ALL:
        return None
    selected = document.selection
    if not selected:
        raise ValueError(f"No source is selected, and “{wanted.value}” asks for one; click a marker or a row first.")
    if wanted is Participation.SELECTED:
        return selected
    if wanted is Participation.NEIGHBOURS:
        return neighbours(document.scene, selected)
    others = tuple(source.id for source in document.scene.sources if source.id not in selected)
    if not others:
        raise ValueError("All sources are selected, so that none would be fitted; select those that are to stay.")
    return others
