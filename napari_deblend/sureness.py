"""How sure the fit is: draws of the posterior around the present scene, asked for, shown and written by one workbench.

What was drawn around a scene that was edited since is kept, and said to be stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from napari.utils import progress
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import Method, Scene
from deblend.measure import KeptDraws
from napari_deblend.compat import main_window, show_progress
from napari_deblend.document import Change
from napari_deblend.draw_files import drawn_of, kept_of, written
from napari_deblend.draw_layers import DrawLayers
from napari_deblend.drawing import DRAWN, Drawing, DrawKind, Drawn, DrawPhase, DrawSettings
from napari_deblend.ownership import called
from napari_deblend.runner import ERROR

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

LOOK = 60
"""How often an answer of the thread is looked for [ms]."""
WRITTEN = "draws written"
DRAWS = "draws"
"""Name under which a failure is announced."""


class Sureness:
    """Draws of one workbench: how they are made, the thread that makes them, and what they say so far."""

    changed = Signal()
    """There are new draws, others, or the present ones have become stale."""
    chosen = Signal()
    """Another method, or other settings."""
    wanted = Signal()
    """What the draws say is to be in view, or no longer."""
    ended = Signal()
    """There are draws that are worth keeping: no more are to come at present."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.method = Method.GAUSSIAN
        self.settings = DrawSettings()
        self.prior: Path | None = None
        """File of the prior that pictures are drawn under; None for that of the package."""
        self.known_priors: list[Path] = []
        """Files that were chosen so far."""
        self.drawn: Drawn | None = None
        """What the last draws said; None where there were none."""
        self._kept: KeptDraws | None = None
        """What of the draws goes into a session, made when it is asked for."""
        self._kept_of: Mapping[str, np.ndarray] | None = None
        """The quantities that it is of."""
        self._rows: dict[str, int] = {}
        """Of the sources that were drawn, by their ids."""
        self.layers = DrawLayers(bench)
        self._drawing: Drawing | None = None
        self._retired: list[Drawing] = []
        self._is_stale = self._is_restored = False
        self._has_arrived = False
        """Whether what is shown is of the present thread, and not of the one before it."""
        self._fit_number = 0
        """How many fits there were when the scene was last compared with that of the draws."""
        self._phase: DrawPhase | None = None
        self._bar: progress | None = None
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setInterval(LOOK)
        self._timer.timeout.connect(self._look)
        bench.document.scene_changed.connect(self._on_scene)
        bench.document.observations_changed.connect(self._forget)
        bench.document.selection_changed.connect(self._on_selection)
        bench.layers.looked.connect(self._on_looked)
        bench.layers.view_changed.connect(self._on_view)

    # what is asked for -------------------------------------------------------------------------------------------

    @property
    def phase(self) -> DrawPhase | None:
        """What the thread is doing; None where there is none."""
        return None if self._drawing is None else self._drawing.phase

    @property
    def is_busy(self) -> bool:
        """Whether more draws are to come."""
        return self.phase is not None and self.phase.is_busy

    @property
    def is_paused(self) -> bool:
        """Whether draws wait to be gone on with."""
        return self.is_busy and self._drawing is not None and self._drawing.is_paused

    @property
    def is_stale(self) -> bool:
        """Whether the draws are of a scene that was edited since."""
        return self._is_stale

    def choose(self, method: Method) -> None:
        """Have the next draws made in another way."""
        self.method = method
        self.chosen.emit()

    def take_prior(self, path: Path | None) -> None:
        """Have the next draws be pictures under the prior of a file, or under that of the package.

        Raises ValueError, which names the file, where pictures cannot be drawn under it.
        """
        from deblend.infer.diffusion.known_prior import denoiser_card

        if path is not None:
            denoiser_card(path)
            if path not in self.known_priors:
                self.known_priors.append(path)
        self.prior = path
        self.choose(Method.DIFFUSION)

    def begin(self) -> None:
        """Make draws around the present scene; raises ValueError with a sentence where that cannot be done."""
        bench = self._bench
        if not bench.document.is_open or not bench.document.scene.sources:
            raise ValueError("There are no sources to draw; detect some, or Shift-click the image to add one, and fit.")
        if bench.runner is not None and bench.runner.is_running:
            raise ValueError("A fit is running, and draws lie around where it ends: stop it, or wait.")
        scene = bench.document.scene
        if not scene.is_solved or (bench.frame is not None and bench.frame.revision != bench.document.revision):
            raise ValueError("The fluxes of the last edit are being solved; try again in a moment.")
        self._retire()
        self.layers.begin()
        bench.tell(f"{self.method.label}: {self.settings.draws} draws…")
        self._has_arrived = False
        self._drawing = Drawing(bench.document.observations, scene, self.method, self.settings, self.prior)
        self._phase = None
        self._bar = progress(total=self.settings.draws)
        self._want()
        self._timer.start()
        self._look()

    def pause(self) -> None:
        """Have the draws wait, or go on."""
        if self._drawing is not None:
            self._drawing.pause(not self._drawing.is_paused)

    def stop(self) -> None:
        """Have no more draws made; raises ValueError where none are."""
        if self._drawing is None or not self.is_busy:
            raise ValueError("No draws are being made.")
        self._drawing.stop()

    def show(self, kind: DrawKind | None) -> None:
        """Look at the mean of the draws, at their deviation, at each of them, or at none."""
        if kind is not None and self._is_restored:
            raise ValueError("These draws are of a session, which keeps their numbers and no pictures: draw again.")
        self.layers.show(kind, self.drawn)
        if kind is None:
            self._bench.viewer.canvas.overlays.text.text = self._bench.layers.caption
        self._on_selection()
        self.changed.emit()

    def write(self, folder: Path) -> None:
        """Write the draws into a folder; what becomes of it is told."""
        if self._drawing is None or not self._has_arrived or self.drawn is None or not self.drawn.n_done:
            raise ValueError("There are no draws to write; choose a way to draw under “Method”, and draw.")
        self._bench.tell("Writing the draws…")
        self._drawing.submit(WRITTEN, lambda sampling, samples: written(folder, sampling, samples))

    def close(self) -> None:
        """End the thread."""
        self._timer.stop()
        self._retire()
        for drawing in self._retired:
            drawing.close()
        self.layers.disconnect()

    # what is known -----------------------------------------------------------------------------------------------

    def flux_errors(self, source_id: str) -> Float[np.ndarray, " channel"] | None:
        """Return the standard deviations of a source's fluxes [nJy]; None where present draws do not tell them, or are
        not known to scatter as errors do."""
        drawn = self.drawn
        if drawn is None or self._is_stale or drawn.n_done < 2 or not drawn.is_calibrated:
            return None
        row = self._rows.get(source_id)
        return None if row is None else drawn.flux_errors[row]

    @property
    def kept(self) -> KeptDraws | None:
        """What the draws say, for a session; None where there are none."""
        drawn = self.drawn
        if drawn is None or not drawn.n_done:
            return None
        if self._kept is None or self._kept_of is not drawn.quantities:
            self._kept_of = drawn.quantities
            self._kept = kept_of(drawn)
        return self._kept

    def restore(self, kept: KeptDraws | None) -> None:
        """Show draws of a session; of pictures nothing was kept, and the seed gives the same draws again."""
        self._forget()
        if kept is None:
            return
        self._kept, self._kept_of, self._is_restored = kept, kept.quantities, True
        self.drawn = drawn_of(kept)
        self._rows = {source.id: row for row, source in enumerate(kept.scene.sources)}
        self._fit_number = self._fit_number_now
        self._is_stale = not is_same(self._bench.document.scene, kept.scene)
        self.method = self.drawn.method
        self.settings = replace(self.settings, draws=max(len(kept), 2), seed=kept.seed)
        self.chosen.emit()
        self.changed.emit()

    @property
    def heading(self) -> str:
        """Where the draws stand, in words."""
        drawn = self.drawn
        if drawn is None or not drawn.n_done:
            return "" if self.phase is None or not self.is_busy else f"{self.phase.value}…"
        n = f"{drawn.n_done} of {drawn.n_wanted}" if drawn.n_done < drawn.n_wanted else f"{drawn.n_done}"
        said = f"{drawn.method.label}: {n} draws"
        if self._drawing is not None and self._drawing.is_paused and drawn.phase.is_busy:
            said += ", paused"
        return f"{said}; stale: the scene was edited since" if self._is_stale else said

    # what comes in -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        drawing = self._drawing
        if drawing is None:
            self._timer.stop()
            return
        for name, news in drawing.mailbox.take().items():
            if name == DRAWN and not news.n_done and self.drawn is not None:
                # stopped before its first draw: those before stay
                continue
            if name == DRAWN:
                self.drawn, self._has_arrived, self._is_restored = news, True, False
                self._rows = {source.id: row for row, source in enumerate(news.scene.sources)}
                self._fit_number = self._fit_number_now
                self._is_stale = not is_same(self._bench.document.scene, news.scene)
                self.layers.take(news)
                self.layers.show_share(self._chosen)
                self._say_caption()
                self.changed.emit()
            elif name == WRITTEN:
                self._bench.tell(news)
            elif name == ERROR:
                self._bench.fail(DRAWS, news)
        if drawing.phase is not self._phase:
            self._phase = drawing.phase
            if drawing.phase is DrawPhase.DONE and self.drawn is not None:
                self._bench.tell(f"{self.heading}.")
                self.ended.emit()
            self.changed.emit()
        self._show_bar()

    def _show_bar(self) -> None:
        if self._bar is None:
            return
        if not self.is_busy or self._phase is None:
            self._bar.close()
            self._bar = None
            return
        n_done = 0 if self.drawn is None or self.drawn.scene is not self._scene_drawn else self.drawn.n_done
        show_progress(self._bench.viewer, self._bar, n_done, self._phase.value)

    @property
    def _fit_number_now(self) -> int:
        return 0 if self._bench.frame is None else self._bench.frame.fit_number

    @property
    def _scene_drawn(self) -> Scene | None:
        return None if self._drawing is None else self._drawing.scene

    def _on_scene(self, change: Change) -> None:
        if self.drawn is None or not self._bench.document.is_open:
            return
        fit_number = self._fit_number_now
        if change is Change.ANSWER and fit_number == self._fit_number:
            # the scene of an edit, or of an undone one, with its fluxes solved again
            return
        self._fit_number = fit_number
        is_stale = not is_same(self._bench.document.scene, self.drawn.scene)
        if is_stale != self._is_stale:
            self._is_stale = is_stale
            self.changed.emit()

    def _on_selection(self) -> None:
        if self._chosen is not None and self.layers.kind is DrawKind.DRAW:
            self._bench.layers.show_component(self._chosen)
        self._on_view()

    def _on_view(self) -> None:
        self._want()
        self._say_caption()

    def _on_looked(self) -> None:
        """Step aside for a picture that a person wants to see."""
        if self.layers.kind is not None:
            self.layers.show(None, self.drawn)
            self.changed.emit()

    def _want(self) -> None:
        self.layers.show_share(self._chosen)
        if self._drawing is not None and self._drawing.phase is not DrawPhase.FAILED:
            self._drawing.want(self.layers.wanted(self._chosen))

    def _say_caption(self) -> None:
        drawn, kind = self.drawn, self.layers.kind
        if drawn is None or kind is None:
            return
        if kind is DrawKind.SHARE:
            self._bench.viewer.canvas.overlays.text.text = self._share_caption(drawn)
            return
        names = {source.id: called(source) for source in drawn.scene.sources}
        of = next((names.get(p.source_id or "", "the model") for p in self.layers.wanted(self._chosen)), "the model")
        what = f"Draw {self.layers.step[0] + 1}" if kind is DrawKind.DRAW else f"{kind.value} of {drawn.n_done} draws"
        band = self._bench.layers.observations[self._bench.layers.seen_by].channels
        name = band[min(self._bench.layers.band, len(band) - 1)].name
        aside = " · stale" if self._is_stale else ""
        if kind is DrawKind.DEVIATION and not drawn.is_calibrated:
            aside += " · no error bar"
        text = f"{what[0].upper()}{what[1:]} · {of} · {name} [nJy/pix]{aside}"
        self._bench.viewer.canvas.overlays.text.text = text

    def _share_caption(self, drawn: Drawn) -> str:
        names = {source.id: called(source) for source in drawn.scene.sources}
        of = names.get(self._chosen or "")
        if of is not None and self._chosen not in {share.source_id for share in drawn.shares}:
            return f"Data against prior · {of} keeps its shape: no pictures of it are drawn"
        aside = " · stale" if self._is_stale else ""
        where = "nearest galaxy" if of is None else of
        return f"Data (1) or prior (0) · {where} · {drawn.n_done} draws{aside}"

    @property
    def _chosen(self) -> str | None:
        selection = self._bench.document.selection
        return selection[-1] if selection else None

    def _retire(self) -> None:
        if self._drawing is not None:
            self._drawing.close(wait=False)
            self._retired.append(self._drawing)
        self._retired = [drawing for drawing in self._retired if drawing.is_alive]
        self._drawing = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _forget(self) -> None:
        """Let go of draws whose images are open no more."""
        self._retire()
        self.layers.clear()
        self.drawn, self._kept, self._is_stale, self._is_restored = None, None, False, False
        self.changed.emit()


def is_same(one: Scene, other: Scene) -> bool:
    """Tell whether two scenes are one: so are answers of the machine to the same edit."""
    return one is other or (
        len(one) == len(other) and all(a is b for a, b in zip(one.sources, other.sources, strict=True))
    )
