"""The fits of a session done again: from the same scenes, with as many iterations before each edit as there were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deblend.infer import Fit, FitSettings, holding, set_free
from deblend.io.session.session import Edit, Run, Session
from deblend.observe import Observation
from deblend.program import Program
from deblend.scene import Scene


def fit_again(
    program: Program,
    start: Scene,
    settings: FitSettings,
    n_states: int,
    edits: Sequence[Edit] = (),
    taking_part: Sequence[str] | None = None,
    progress: Callable[[], Any] = lambda: None,
) -> Scene:
    """Fit as was done before, and return the best state: `n_states` of them, the start included, with every edit after
    as many as it says; `taking_part` as in `Run`. `progress` is called after every state."""

    def held(scene: Scene) -> Scene:
        return scene if taking_part is None else holding(scene, taking_part)

    fit, given, left = Fit(held(start), program.observations, settings, program), start, list(edits)
    for k in range(n_states + 1):
        while left and left[0].after == k:
            given = left.pop(0).scene
            fit.edit(held(given))
        if k < n_states:
            next(fit)
            progress()
    best = fit.best.scene
    end = best if taking_part is None else set_free(best, given, taking_part)
    # as the window leaves it behind a fit
    program.update(end)
    return end


def program_for(run: Run, before: Run | None, program: Program | None) -> Program:
    """Return the program that a run is done with: that of the run before, where it was of the same images."""
    if program is not None and before is not None and _are_same(run.observations, before.observations):
        return program
    return Program(run.observations, run.start, standard_groups=run.standard_groups, solve=False)


def replay(session: Session, progress: Callable[[int, int], Any] = lambda done, total: None) -> tuple[Scene, ...]:
    """Do all fits of a session again, and return where each of them ends.

    Numbers agree with those of the session to rounding, where machine and versions are the same. `progress` is told how
    many of how many states were reached. Raises ValueError where the session knows of no fit.
    """
    if not session.runs:
        raise ValueError("it knows of no fit that could be done again, only of a result")
    total, done = sum(len(run.curve) for run in session.runs), 0

    def tell() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    program: Program | None = None
    before: Run | None = None
    ends = []
    for run in session.runs:
        program = program_for(run, before, program)
        ends.append(
            fit_again(program, run.start, run.settings, len(run.curve), run.edits, run.taking_part, progress=tell)
        )
        before = run
    return tuple(ends)


def _are_same(a: Sequence[Observation], b: Sequence[Observation]) -> bool:
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
