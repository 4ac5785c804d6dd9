"""What `deblend fit` says of what it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deblend import Classification, Peaks

MOST_NAMED = 5
"""Positions in one sentence."""
NOT_AGAIN = "The second fit did not converge; the first one is kept."


def about_unlisted(objects: Peaks) -> str:
    """Return a sentence about objects that are in the image, but not among the given positions."""
    shown = [f"({x:.1f}, {y:.1f})" for x, y in zip(objects.x[:MOST_NAMED], objects.y[:MOST_NAMED], strict=True)]
    more = f" and {len(objects) - MOST_NAMED} more places" if len(objects) > MOST_NAMED else ""
    return (
        f"Objects without a source were seen at (x, y) = {', '.join(shown)}{more}; "
        "neighbours may take their light: add them to the peaks."
    )


def about_missed(count: int) -> str:
    """Return a sentence about sources that were found in the residual."""
    found = "A source was" if count == 1 else f"{count} sources were"
    return f"{found} found in what the fit left over, and fitted with the others."


def about_hidden(count: int) -> str:
    """Return a sentence about sources that others had hidden."""
    found = "A source was" if count == 1 else f"{count} sources were"
    return f"{found} hidden by others, and found by trying; what was fitted as one is several now."


def about_faded(count: int) -> str:
    """Return a sentence about sources that were found and then lost their light."""
    was = "A source that was found later has" if count == 1 else f"{count} sources that were found later have"
    gone = "is" if count == 1 else "are"
    return f"{was} hardly any light left beside neighbours of any shape, and {gone} taken away again."


def about_classes(classes: Sequence[Classification]) -> str:
    """Return a sentence about which sources are stars."""
    n_points = sum(each.kind == "point" for each in classes)
    return f"Of {len(classes)} sources a point fits {n_points} as well as anything extended does."


def about_uneven(count: int, n_galaxies: int) -> str:
    """Return a sentence about galaxies that begin anew as learned ones."""
    are = "galaxy is" if n_galaxies == 1 else "galaxies is" if count == 1 else "galaxies are"
    return (
        f"{count} of {n_galaxies} {are} uneven, as spirals and irregulars are, and fitted anew under the learned prior "
        "(--keep-kinds leaves them as they are)."
    )
