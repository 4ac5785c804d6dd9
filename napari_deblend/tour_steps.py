"""What the guided tour says, step by step, and how it knows that a person has done it.

A step asks nothing of the window but a `Moment`, so that each can be tested without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from napari_deblend.document import Step as Edit
from napari_deblend.stretch import Stretch
from napari_deblend.views import View

CANVAS = "canvas"
"""The target of steps that are done on the image; all others are names of widgets of the dock."""
CONSTRAINTS, PLOTS = "constraints", "plots"
"""What is noted when it is unfolded, by key or by mouse."""


@dataclass(frozen=True)
class Moment:
    """The work at one time, as far as steps of the tour ask about it."""

    is_open: bool = False
    view: View = View.DATA
    stretch: Stretch = field(default_factory=Stretch)
    source_ids: tuple[str, ...] = ()
    last_edit: Edit | None = None
    """What Undo would take back."""
    can_redo: bool = False
    n_runs: int = 0
    """Fits that have ended."""
    is_fitting: bool = False
    leftover: int | None = None
    """Which place of the residual is looked at, by its rank."""
    is_saved: bool = False
    noted: Mapping[str, int] = field(default_factory=dict)
    """How often something was noted that leaves no other trace."""

    def times(self, name: str) -> int:
        """Return how often something was noted."""
        return self.noted.get(name, 0)


class Need(Enum):
    """What a step cannot do without; the value says how to get it."""

    NOTHING = ""
    IMAGES = "This step needs images: “Do it” opens the sample, or open files of your own."
    SOURCES = "This step needs sources: {find_sources} finds some."

    def is_met(self, moment: Moment) -> bool:
        """Tell whether there is what is needed."""
        return {
            Need.NOTHING: True,
            Need.IMAGES: moment.is_open,
            Need.SOURCES: moment.is_open and bool(moment.source_ids),
        }[self]


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    name: str
    sentence: str
    """What to do; names of actions in braces stand for their keys."""
    target: str
    """Around what the frame is: `CANVAS`, or the object name of a widget of the dock."""
    done: Callable[[Moment, Moment], bool]
    """Whether it is done, from how the work was when the step began and how it is now."""
    action: str = ""
    """What does it for the person; empty where only a hand can."""
    needs: Need = Need.IMAGES


def _is_found(before: Moment, now: Moment) -> bool:
    return bool(now.source_ids) and now.source_ids != before.source_ids


def _is_added(before: Moment, now: Moment) -> bool:
    return len(now.source_ids) > len(before.source_ids)


def _is_edit(verb: str) -> Callable[[Moment, Moment], bool]:
    """Return whether the last edit is a new one whose label begins so."""

    def is_edit(before: Moment, now: Moment) -> bool:
        edit = now.last_edit
        return edit is not None and edit is not before.last_edit and edit.label.startswith(verb)

    return is_edit


def _is_fitted(before: Moment, now: Moment) -> bool:
    return now.n_runs > before.n_runs and not now.is_fitting


def _is_noted(name: str) -> Callable[[Moment, Moment], bool]:
    return lambda before, now: now.times(name) > before.times(name)


STEPS = (
    Step(
        "open",
        "Open the sample, a blend in five bands: press “Do it”, or File ▸ Open Sample ▸ Deblend.",
        "observations",
        lambda before, now: now.is_open,
        "open_sample",
        Need.NOTHING,
    ),
    Step(
        "look",
        "Look: {look_at_data} is the data, {look_at_model} the model (empty as yet), {look_at_residual} the residual.",
        "looking",
        lambda before, now: now.view is not before.view,
        "next_view",
    ),
    Step(
        "stretch",
        "Brighten the picture with {brighter}, darken it with {fainter}, or drag the sliders.",
        "stretch",
        lambda before, now: now.stretch != before.stretch,
        "brighter",
    ),
    Step(
        "find",
        "Find the sources with {find_sources}; rings show beforehand what the threshold would find.",
        "find_sources",
        _is_found,
        "find_sources",
    ),
    Step(
        "add",
        "Add a source of your own: Shift and a click on the image, where light has no marker.",
        CANVAS,
        _is_added,
    ),
    Step(
        "drag",
        "Drag its marker: the fluxes of all sources are solved anew while it moves.",
        CANVAS,
        _is_edit("Move"),
        "nudge_up",
        Need.SOURCES,
    ),
    Step(
        "undo",
        "Take it back with {undo}; everything can be undone, and {redo} does it again.",
        "undo",
        lambda before, now: now.can_redo,
        "undo",
    ),
    Step(
        "fit",
        "Fit with {fit_or_pause} and watch; the same key pauses, and edits meanwhile are welcome.",
        "fit_or_pause",
        _is_fitted,
        "fit_or_pause",
        Need.SOURCES,
    ),
    Step(
        "residual",
        "Look at the residual with {look_at_residual}: orange is light that the model misses, blue is too much.",
        "looking",
        lambda before, now: now.view is View.RESIDUAL,
        "look_at_residual",
        Need.SOURCES,
    ),
    Step(
        "worst",
        "Go to the worst place that is left over with {next_residual}; again for the next.",
        "next_residual",
        lambda before, now: now.leftover is not None,
        "next_residual",
        Need.SOURCES,
    ),
    Step(
        "missed",
        "Add what was missed: {add_from_residual} at that place, or {find_missed} wherever light stands out.",
        "add_from_residual",
        _is_added,
        "find_missed",
        Need.SOURCES,
    ),
    Step(
        "constraints",
        "See what is asked of the selected source with {show_constraints}, and switch some of it.",
        "constraints_heading",
        _is_noted(CONSTRAINTS),
        "show_constraints",
        Need.SOURCES,
    ),
    Step(
        "errors",
        "See how sure its fluxes are with {show_plots}: every band with its error, and the profile.",
        "plots_heading",
        _is_noted(PLOTS),
        "show_plots",
        Need.SOURCES,
    ),
    Step(
        "save",
        "Save all of it with {save_session}: images, sources, and all that Undo can reach.",
        "save_session",
        lambda before, now: now.is_saved,
        "save_session",
        Need.SOURCES,
    ),
    Step(
        "end",
        "That is the loop: find, edit, fit, look, save. “Keys…” has all keys; {take_tour} begins the tour again.",
        "keys",
        lambda before, now: False,
        needs=Need.NOTHING,
    ),
)
"""The tour, in its order."""
