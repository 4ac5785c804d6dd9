"""Actions on the history of runs and on comparing, for keys and the command palette."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_deblend.comparing import Manner

if TYPE_CHECKING:
    from napari_deblend.past import PastRun
    from napari_deblend.workbench import Workbench


def chosen_run(bench: Workbench) -> PastRun:
    """Return the run that is chosen in the list, or the last one; raises ValueError where there is none."""
    history = bench.history
    if history.chosen is not None:
        return history.chosen
    if not history.runs:
        raise ValueError("No fit has ended yet; there is nothing to go back to or to compare with.")
    return history.runs[-1]


def go_back_to_run(bench: Workbench) -> None:
    """Return to how the chosen run ended."""
    bench.history.go_back_to_run(chosen_run(bench))


def compare_with_run(bench: Workbench) -> None:
    """Compare with how the chosen run ended, or no longer."""
    if bench.comparing.is_on:
        bench.comparing.end()
    else:
        bench.comparing.begin_with_run(chosen_run(bench))


def compare_with_last_step(bench: Workbench) -> None:
    """Compare with what Undo would return to, or no longer."""
    if bench.comparing.is_on:
        bench.comparing.end()
        return
    step = bench.document.last_step
    if step is None:
        raise ValueError("Nothing was done yet that could be compared with.")
    bench.comparing.begin(step.scene, f"before “{step.label}”", step.observations)


def other_manner(bench: Workbench) -> None:
    """Have the two states take turns, or stand side by side."""
    comparing = bench.comparing
    manners = list(Manner)
    comparing.show_as(manners[(manners.index(comparing.manner) + 1) % len(manners)])


def walk(step: int) -> Callable[[Workbench], None]:
    """Return the action that goes to a neighbouring state on the curve."""

    def go(bench: Workbench) -> None:
        history = bench.history
        count = len(history.curve)
        if not count:
            raise ValueError("There is no curve to go along yet; start a fit first.")
        scene = bench.document.scene
        places = [k for k in range(count) if history.state(k) is scene]
        # the best state is not always the last one
        at = places[-1] if places else count - 1 if step < 0 else count
        if not 0 <= at + step < count:
            raise ValueError("The curve has no further state in that direction.")
        history.go_back_to(at + step)

    return go
