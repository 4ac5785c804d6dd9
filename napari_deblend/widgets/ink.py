"""Colors of words and lines in the dock that are read on a dark ground and on a light one."""

from __future__ import annotations

from enum import Enum
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtWidgets import QWidget

from deblend import Status

PROPERTY = "ink"
"""Of a widget whose words have one of these colors."""


DATA, MODEL = "#1b8fbb", "#cf7100"
"""Of points and lines in plots, of what was seen and what is said of it: a contrast of about 3 on either ground, as the
W3C asks of graphics, and told apart by the color-blind."""
LINES = (DATA, MODEL, "#a45ee5", "#5e9b00", "#e04f4f", "#888888")
"""Of several lines in a plot, told apart by the color-blind in this order."""


class Ink(Enum):
    """What a color says; the value is the color on a dark ground, and on a light one.

    Each has a contrast of 4.5 at least with napari's ground, as the W3C asks of text; told apart by the color-blind by
    how light they are, and never by color alone.
    """

    FREE = ("#6ee7a0", "#0b6b34")
    FIXED = ("#ffd166", "#7a5000")
    LOCKED = ("#ff8a8a", "#b3261e")
    DOUBT = ("#e0b060", "#7a5000")
    FAINT = ("#9a9fa6", "#5c6066")
    TOO_FAINT = ("#ee7b3c", "#a03c00")
    TOO_BRIGHT = ("#3fa7d6", "#0a5a80")

    def on(self, viewer: Any) -> str:
        """Return the color in the theme of a viewer."""
        return self.value[is_light(viewer)]


OF_STATUS = {Status.FREE: Ink.FREE, Status.FIXED: Ink.FIXED, Status.LOCKED: Ink.LOCKED}
"""Whether the fit may change something."""


def is_light(viewer: Any) -> bool:
    """Tell whether a viewer has a light theme."""
    return bool(get_theme(viewer.theme).type == "light")


def write_in(widget: QWidget, ink: Ink | None) -> None:
    """Have the words of a widget in a color, which follows the theme; None for that of all others."""
    widget.setProperty(PROPERTY, "" if ink is None else ink.name)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def sheet(viewer: Any) -> str:
    """Return the style sheet of a widget in which words have these colors."""
    return "\n".join(f'*[{PROPERTY}="{ink.name}"] {{ color: {ink.on(viewer)}; }}' for ink in Ink)
