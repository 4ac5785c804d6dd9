"""Looking for more sources while a fit is under way: in what it leaves over, and hidden behind those that it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deblend.commands.sentences import about_hidden, about_missed

if TYPE_CHECKING:
    from deblend import Fit, FitState, Observation, Scene

    Fitted = tuple[FitState, str]
    """The last state of a fit, and what ended it before its time."""

HIDDEN_ROUNDS = 3
"""How often hidden sources are tried, at most: what one round has found shows others."""


@dataclass
class Search:
    """What a search needs of a command, and what it has come to."""

    fit: Fit
    observations: Sequence[Observation]
    full: Scene
    """All sources, as free as they will be."""
    last: Fitted
    carry_on: Callable[[Scene], Fitted]
    """Fit on from an edited scene."""
    asked: Callable[[Scene, int], Scene]
    """Have new sources, behind so many known ones, asked what all others are."""
    options: dict[str, Any]
    note: Callable[[str], None]

    @property
    def may_go_on(self) -> bool:
        state, interrupted = self.last
        return not interrupted and state.outcome.is_success

    def run(self, rounds: int) -> None:
        """Look so many times for peaks of the residual, and then for what is hidden."""
        import deblend

        for _ in range(rounds):
            if not self.may_go_on:
                return
            best = self.fit.best
            models = [best.model(k) for k in range(len(self.observations))]
            more = deblend.with_missed(best.scene, self.observations, models, **self.options, solve=False)
            if len(more) == len(best.scene):
                break
            self.note(about_missed(len(more) - len(best.scene)))
            self._add(more)
        self._try_hidden()

    def _add(self, more: Scene) -> tuple[str, ...]:
        """Fit with new sources, and return their ids."""
        from deblend.detect import plain

        n_known = len(self.fit.best.scene)
        more = self.asked(more, n_known)
        new = more.sources[n_known:]
        self.full = self.full.add(*new)
        self.last = self.carry_on(plain(more))
        return tuple(source.id for source in new)

    def _try_hidden(self) -> None:
        import deblend

        places: list[tuple[float, float]] = []
        n_kept = 0
        for _ in range(HIDDEN_ROUNDS):
            if not self.may_go_on:
                break
            best = self.fit.best
            before = [best.model(k) for k in range(len(self.observations))]
            seen = self.observations, before, best.sources()
            more = deblend.with_hidden(best.scene, *seen, apart_from=places, **self.options)
            if len(more) == len(best.scene):
                break
            tried = self._add(more)
            if not self.may_go_on:
                break
            best = self.fit.best
            models = [best.model(k) for k in range(len(self.observations))]
            seen = self.observations, models, best.sources()
            in_vain = deblend.unneeded(best.scene, *seen, before, tried)
            places += [best.scene[i].anchor for i in tried]
            n_kept += len(tried) - len(in_vain)
            if in_vain:
                self.full = self.full.remove(*in_vain)
                self.last = self.carry_on(best.scene.remove(*in_vain))
        if n_kept:
            self.note(about_hidden(n_kept))
