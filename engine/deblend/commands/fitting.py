"""The fits of a command, one after another, with a bar of progress, a record of them, and an end when a person asks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deblend.commands.morphologies import blaming_the_morphology
from deblend.commands.recording import Recording
from deblend.commands.sentences import about_hidden, about_missed
from deblend.commands.watching import Clock, interruptible
from deblend.faults import machine_fault

if TYPE_CHECKING:
    from deblend import Fit, FitSettings, FitState, Observation, Scene, Search

STOPPED = "Interrupted;"


class Fitting:
    """Fits that share a program, each in the place of the one before."""

    def __init__(self, observations: Sequence[Observation], clock: Clock, *, quiet: bool) -> None:
        self.observations, self.recording = observations, Recording(observations)
        self.fit: Fit
        """That of now."""
        self.last: FitState
        """The last state of the fit that counts."""
        self.interrupted = ""
        """What ended it before its time: a person or the machine; empty where nothing did."""
        self.is_paused = False
        """Whether the fit of now has slowed, and waits there, as it was asked to, to be gone on with or begun anew."""
        self.iterations = 0
        """Of all fits that have ended."""
        self._clock, self._quiet = clock, quiet
        self._now: FitState
        """The last state of that of now, whether it counts or not."""

    @property
    def is_success(self) -> bool:
        return not self.interrupted and self.last.outcome.is_success

    @property
    def best(self) -> FitState:
        return self.fit.best

    def prepare(self, start: Scene, settings: FitSettings) -> None:
        """Make the first fit ready; raises ValueError where it cannot be."""
        import deblend

        self._start = start
        self.fit = deblend.fit(start, self.observations, settings)

    def run(self, *, pauses: bool = False) -> None:
        """Do the first fit, or as far as it comes fast where it `pauses`."""
        self.recording.begin(self._start)
        self._solve(pauses)

    def carry_on(self, scene: Scene, *, pauses: bool = False) -> None:
        """Fit on from an edited scene, to the end or as far as it comes fast."""
        self.recording.edited(scene)
        with self._clock.phase("fit"):
            self.last = self._now = self.fit.edit(scene)
        self.go_on(pauses=pauses)

    def go_on(self, *, pauses: bool = False) -> None:
        """Fit on from where the fit stands, if it has not ended."""
        if not self.last.outcome.is_final:
            self._solve(pauses)

    def search(self, search: Search, note: Callable[[str], None]) -> None:
        """Look for more sources, and fit with them, until nothing is found."""
        while self.is_success:
            best = self.best
            with self._clock.phase("detect"):
                models = [best.model(k) for k in range(len(self.observations))]
                more = search.after(best.scene, self.observations, models, best.sources())
            if more is None:
                break
            if search.new and not search.is_trying:
                note(about_missed(len(search.new)))
            self.carry_on(more)
        if search.n_hidden:
            note(about_hidden(search.n_hidden))

    def again(self, start: Scene) -> bool:
        """Fit once more from another start; where that does not converge, return False and stay with the fit before."""
        import deblend

        first, before, was_paused = self.best.scene, self.last, self.is_paused
        self.end()
        self.recording.begin(start)
        self.fit = deblend.fit(start, self.observations, self.fit.settings, self.fit.program)
        self._solve()
        if self._now.outcome.is_success:
            return True
        self.recording.edited(first)
        self._now = self.fit.edit(first)
        self.last = self._now if was_paused else before
        if not self.interrupted:
            self.go_on()
        return False

    def end(self) -> None:
        """Write down what has come of the fit of now."""
        from deblend.infer import Outcome

        outcome = Outcome.ROUGHLY if self.is_paused else self._now.outcome
        self.recording.end(self.fit, outcome.value)
        self.iterations += self._now.iteration

    def _solve(self, pauses: bool = False) -> None:
        from tqdm import tqdm

        self.is_paused = False
        fit, clock = self.fit, self._clock
        bar = tqdm(total=fit.settings.max_iterations, desc="prepare", unit="it", disable=self._quiet, file=sys.stderr)
        with bar, interruptible() as is_interrupted:
            # the first state is the start: with it everything is compiled, so that the fit's time is solving alone
            with clock.phase("prepare"), blaming_the_morphology():
                self._pass(next(fit))
            bar.reset()  # its pace is that of solving
            bar.set_description("fit", refresh=False)
            with clock.phase("fit"):
                try:
                    while not is_interrupted() and (state := next(fit, None)) is not None:
                        self._pass(state)
                        bar.set_postfix_str(f"chi2 {state.chi2:.4f}", refresh=False)
                        bar.update(state.iteration - bar.n)
                        if pauses and fit.has_slowed and not (state.outcome.is_final or is_interrupted()):
                            self.is_paused = True
                            break
                except Exception as error:
                    if (fault := machine_fault(error)) is None:
                        raise
                    self.interrupted = f"{fault.rstrip('.')};"
                    return
        if is_interrupted() and not (self.last.outcome.is_final or self.is_paused):
            self.interrupted = STOPPED

    def _pass(self, state: FitState) -> None:
        self.last = self._now = state
        self.recording.passed(state)
