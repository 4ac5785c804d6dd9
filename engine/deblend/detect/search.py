"""Looking for more sources while a fit is under way: in what it leaves over, and hidden behind those that it has.

Sources are plain profiles meanwhile, since behind a galaxy that may take any shape nothing is left over and nothing
hides; what they are free to be comes back at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deblend.detect.hidden import LEAST_SNR, Pictures, energy, unneeded, with_hidden
from deblend.detect.missed import Models, with_missed
from deblend.detect.plain import as_free_as, plain
from deblend.observe import Observation
from deblend.program.columns import Column
from deblend.scene import Scene, Source

HIDDEN_ROUNDS = 3
"""How often hidden sources are tried, at most: what one round has found shows others."""

Prepare = Callable[[Scene, Sequence[Source]], Sequence[Source]]
"""Make new sources what those of a scene are; those that there is no place for may be left out."""


@dataclass(frozen=True)
class _Trial:
    """Sources that were added to see what a fit makes of them."""

    ids: tuple[str, ...]
    before: Models
    """What the scene looked like without them."""


class Search:
    """What is to be fitted next, given what has been fitted: `Scene`s, one after the other, until nothing is found.

    ```python
    search = deblend.Search(deblend.detect(observations, solve=False))
    fit = deblend.fit(search.start, observations)
    state = fit.run()
    models = lambda: [state.model(k) for k in range(len(observations))]
    while (more := search.after(state.scene, observations, models(), state.sources())) is not None:
        fit.edit(more)
        state = fit.run()
    fit.edit(search.freed(state.scene))
    state = fit.run()
    fit.edit(state.scene.remove(*search.faded(state.scene, observations, state.sources())))
    ```

    Parameters
    ----------
    scene
        All sources, as free as they will be in the end.
    rounds
        How often peaks of the residual are looked for, at most; with 0 nothing is looked for.
    hidden_rounds
        How often hidden sources are tried behind that, at most.
    kind, box_scale
        Of new sources, as in `detect`.
    prepare
        Makes new sources what those of a scene are, as by constraints; as they come without it.
    """

    def __init__(
        self,
        scene: Scene,
        rounds: int = 1,
        hidden_rounds: int = HIDDEN_ROUNDS,
        *,
        kind: str = "galaxy",
        box_scale: float = 1.0,
        prepare: Prepare | None = None,
    ) -> None:
        self._given = {source.id: source for source in scene.sources}
        self._found: set[str] = set()
        self.start = plain(scene)
        """What is to be fitted first."""
        self.new: tuple[Source, ...] = ()
        """What the last step has added, as free as it will be in the end."""
        self.n_hidden = 0
        """How many of those that were tried have stayed."""
        self._rounds, self._hidden_rounds = rounds, hidden_rounds if rounds else 0
        self._kind, self._box_scale, self._prepare = kind, box_scale, prepare
        self._trial: _Trial | None = None
        self._in_vain: list[tuple[float, float]] = []

    @property
    def is_trying(self) -> bool:
        """Whether what was added last is there to see what a fit makes of it, and may go again."""
        return self._trial is not None

    def freed(self, scene: Scene) -> Scene:
        """Return a fitted scene with its sources as free as they will be in the end."""
        return as_free_as(scene, scene.with_sources(self._given.get(s.id, s) for s in scene.sources))

    def faded(self, scene: Scene, observations: Sequence[Observation], pictures: Pictures) -> tuple[str, ...]:
        """Return the ids of what was found and has hardly any light once neighbours are free to have their shapes: it
        was a part of them."""
        found = [(k, source.id) for k, source in enumerate(scene.sources) if source.id in self._found]
        return tuple(source_id for k, source_id in found if _signal_to_noise(pictures[k], observations) < LEAST_SNR)

    def after(
        self, scene: Scene, observations: Sequence[Observation], models: Models, pictures: Pictures
    ) -> Scene | None:
        """Return what is to be fitted next, with fluxes that are NaN where they are to be solved for; None for nothing.

        Parameters
        ----------
        scene
            As it has been fitted.
        models
            What it looks like to each observation [nJy/pix].
        pictures
            What each of its sources does, like `FitState.sources()`.
        """
        self.new = ()
        if self._trial is not None:
            trial, self._trial = self._trial, None
            if in_vain := unneeded(scene, observations, models, pictures, trial.before, trial.ids):
                self.n_hidden += len(trial.ids) - len(in_vain)
                return scene.remove(*in_vain)
            self.n_hidden += len(trial.ids)
        options: dict[str, Any] = {"kind": self._kind, "box_scale": self._box_scale}
        if self._rounds:
            self._rounds -= 1
            if (
                more := self._added(scene, with_missed(scene, observations, models, **options, solve=False))
            ) is not None:
                return more
            self._rounds = 0
        if self._hidden_rounds:
            self._hidden_rounds -= 1
            found = with_hidden(scene, observations, models, pictures, apart_from=self._in_vain, **options)
            if (more := self._added(scene, found)) is not None:
                tried = more.sources[len(scene) :]
                self._trial = _Trial(tuple(source.id for source in tried), models)
                self._in_vain += [source.anchor for source in tried]
                return more
            self._hidden_rounds = 0
        return None

    def _added(self, scene: Scene, found: Scene) -> Scene | None:
        """Return a scene with the new sources of another, held to plain profiles; None where there are none."""
        new: Sequence[Source] = found.sources[len(scene) :]
        if new and self._prepare is not None:
            new = self._prepare(scene, new)
        if not new:
            return None
        more = scene.add(*new)
        self.new = more.sources[len(scene) :]
        self._given.update({source.id: source for source in self.new})
        self._found.update(source.id for source in self.new)
        return more.replace(*plain(scene.with_sources(self.new)).sources)


def _signal_to_noise(pictures: Sequence[Column], observations: Sequence[Observation]) -> float:
    """Return that of a source in all observations together, were it alone."""
    return sum(energy(c, o.weights) for c, o in zip(pictures, observations, strict=True)) ** 0.5
