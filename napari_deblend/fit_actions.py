"""Actions on the fit, for buttons, keys and the command palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deblend import begun_anew, uneven
from napari_deblend.participation import taking_part

if TYPE_CHECKING:
    from napari_deblend.runner import Runner
    from napari_deblend.workbench import Workbench

FIT_LABEL = "Fit"
"""Of the step that a fit is in the history of edits."""


def fit_or_pause(bench: Workbench) -> None:
    """Start a fit; pause the one that runs; resume the one that waits."""
    runner = _runner(bench)
    if runner.is_running:
        runner.pause(not runner.is_paused)
        return
    wanted = _what_takes_part(bench)
    bench.document.mark(FIT_LABEL)
    bench.history.choose(None)
    bench.rounds.begin(wanted)


def step_fit(bench: Workbench) -> None:
    """Take one iteration and wait: of the fit that waits, or of a new one; one that runs is paused."""
    runner = _runner(bench)
    if runner.is_running:
        runner.step()
        return
    wanted = _what_takes_part(bench)
    bench.document.mark(FIT_LABEL)
    bench.history.choose(None)
    bench.rounds.forget()
    runner.run_paused(bench.settings, wanted)


def fit_uneven(bench: Workbench) -> None:
    """Fit uneven galaxies anew as learned ones: those that are selected, or all; one step with the fit."""
    runner, document = _runner(bench), bench.document
    if runner.is_running:
        raise ValueError("A fit is running; uneven galaxies are fitted anew once it has ended.")
    found = uneven(document.scene, document.observations) if document.is_open else ()
    if not found:
        raise ValueError("No galaxy is known to be uneven; a fit tells, and marks those that are with ≋.")
    chosen = tuple(i for i in found if i in document.selection) or found
    document.mark(FIT_LABEL)
    bench.history.choose(None)
    bench.rounds.forget()
    document.carry(begun_anew(document.scene, chosen, document.observations))
    one = len(chosen) == 1
    which, them = ("1 uneven galaxy begins", "it") if one else (f"{len(chosen)} uneven galaxies begin", "them")
    bench.tell(f"{which} anew under the learned prior, with what is next to {them}.")
    runner.run(bench.settings)


def cancel_fit(bench: Workbench) -> None:
    """Stop the fit, whose best state so far is kept; where none runs, stop what is being written."""
    if bench.exporting.is_busy and (bench.runner is None or not bench.runner.is_running):
        bench.exporting.stop()
        return
    if bench.runner is None or not bench.runner.is_running:
        raise ValueError("No fit is running.")
    bench.runner.cancel()


def _runner(bench: Workbench) -> Runner:
    if bench.runner is None:
        bench.resume()
    assert bench.runner is not None
    return bench.runner


def _what_takes_part(bench: Workbench) -> tuple[str, ...] | None:
    if not bench.document.scene.sources:
        raise ValueError("There are no sources to fit; detect some, or Shift-click the image to add one.")
    return taking_part(bench)
