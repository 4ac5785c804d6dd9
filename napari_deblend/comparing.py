"""Two states beside each other: A, an earlier one, and B, what is now; both in the view that is looked at.

A has a layer of its own, with the colors and the limits of the layer of B. It takes turns with it in the same place, or
stands beside it; where all views are looked at side by side, it takes turns with the residual in its panel.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import Observation, Scene
from deblend.program import residual_sigma
from napari_deblend.compat import main_window
from napari_deblend.jobs import COMPARED
from napari_deblend.machine import Machine, residual_flux
from napari_deblend.past import PastRun
from napari_deblend.stretch import Stretch
from napari_deblend.views import Role, View, layer_options, repeat_bands

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

TURN = 800
"""How long each of the two is seen while they take turns [ms]."""
GAP = 0.04
"""Between the two where they stand side by side, as a fraction of the width."""
COMPARABLE = (View.MODEL, View.RESIDUAL)


class Manner(Enum):
    """How two states are compared; the value is what a person calls it."""

    BLINK = "Blink"
    SIDE_BY_SIDE = "Side by side"


class Comparing:
    """Shows an earlier state with the present one."""

    changed = Signal()

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.manner = Manner.BLINK
        self.title = ""
        """What A is, as a person would say it; empty where nothing is compared."""
        self.layer: Image | None = None
        """Of A."""
        self._models: list[np.ndarray] = []
        self._observations: tuple[Observation, ...] = ()
        self._wanted = ""
        self._role: tuple[Role, int, Stretch, bool] | None = None
        """What the layer shows, and how; whether beside the other one."""
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.timeout.connect(self._turn)
        bench.layers.view_changed.connect(self._show)
        bench.stretching.changed.connect(self._show)
        bench.document.observations_changed.connect(self.end)
        bench.viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        """Let the window go."""
        self._timer.stop()
        self._bench.viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def is_on(self) -> bool:
        return bool(self._models)

    @property
    def _view(self) -> View:
        """In which view the two are compared."""
        return View.RESIDUAL if self._bench.layers.is_spread else self._bench.layers.view

    def begin(self, scene: Scene, title: str, observations: tuple[Observation, ...]) -> None:
        """Compare with a scene; its picture comes by and by. Raises ValueError where it is one of other images."""
        bench = self._bench
        if bench.runner is None:
            raise ValueError("There is nothing to compare with; open images and fit sources first.")
        if observations is not bench.document.observations:
            raise ValueError("That run was of other images, or of the same ones seen otherwise; go back to it instead.")
        self._wanted = title

        def job(machine: Machine) -> tuple[Any, str, list[np.ndarray]]:
            return machine.observations, title, machine.models_of(scene)

        bench.runner.submit(COMPARED, job)

    def begin_with_run(self, past: PastRun) -> None:
        """Compare with how a run ended."""
        number = self._bench.history.runs.index(past) + 1
        self.begin(past.run.end, f"run {number}, χ² {past.run.chi2:.4f}", past.run.observations)

    def take(self, observations: Any, title: str, models: list[np.ndarray]) -> None:
        """Show the earlier state, now that it is drawn."""
        bench = self._bench
        if observations is not bench.document.observations or title != self._wanted:
            return
        self._models, self._observations, self.title = models, observations, title
        self._role = None
        if self._view not in COMPARABLE:
            bench.layers.look_at(View.RESIDUAL)
        self._show()
        bench.tell(f"A: {title}. B: now.")
        self.changed.emit()

    def show_as(self, manner: Manner) -> None:
        """Have the two take turns, or stand side by side."""
        self.manner = manner
        self._role = None
        self._show()
        self.changed.emit()

    def end(self) -> None:
        """Show what is now, alone."""
        self._wanted = self.title = ""
        was_on, self._models = self.is_on, []
        self._clear()
        if was_on:
            self._bench.layers.look_at()
        self.changed.emit()

    # the layer of A ----------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Have A in the view that is looked at; nothing is compared where that is of the data alone."""
        layers = self._bench.layers
        if not self.is_on:
            return
        k, role = layers.seen_by, layers.role_of(self._view)
        is_beside = self.manner is Manner.SIDE_BY_SIDE and not layers.is_spread
        shown = role, k, layers.stretch, is_beside
        if self._view not in COMPARABLE:
            self._clear()
            return
        if self._role == shown:
            return
        self._clear()
        present = layers.layer(role, k)
        if present is None:
            return
        options = layer_options(self._observations[k], role, layers.world, is_beside, layers.levels(k))
        options |= {"name": f"A: {self.title}"}
        if not role.is_color:
            options |= {"colormap": present.colormap, "contrast_limits": present.contrast_limits}
        if is_beside:
            options["affine"] = self._beside(options["affine"], self._observations[k])
        active = self._bench.viewer.layers.selection.active
        self.layer = Image(self._pixels(role, k), **options)
        place = self._bench.viewer.layers.index(present) + 1
        self._role = shown
        self._bench.viewer.layers.insert(place, self.layer)
        self._bench.viewer.layers.selection.active = active
        if is_beside:
            self._timer.stop()
            self._bench.viewer.fit_to_view()
        else:
            self._timer.start(TURN)

    def _pixels(self, role: Role, k: int) -> np.ndarray:
        observation, model = self._observations[k], self._models[k]
        if role.is_color:
            return self._bench.layers.mixes[k](model)
        n_bands = max(len(o.channels) for o in self._observations)
        if role is Role.RESIDUAL_FLUX:
            return repeat_bands(residual_flux(observation, model), n_bands)
        if role is Role.RESIDUAL:
            return repeat_bands(residual_sigma(observation, model), n_bands)
        return repeat_bands(np.asarray(model, np.float32), n_bands)

    def _beside(self, affine: Any, observation: Observation) -> np.ndarray:
        """Return an affine that puts an image to the right of where it was, as seen on the screen."""
        moved = np.array(affine, float)
        height, width = observation.shape
        corners = np.array([(y, x, 1.0) for y in (-0.5, height - 0.5) for x in (-0.5, width - 0.5)])
        plane = moved[np.ix_((-3, -2, -1), (-3, -2, -1))]
        across = (corners @ plane.T)[:, 1]
        horizontal = str(getattr(self._bench.viewer.scene.camera.orientation2d[1], "value", ""))
        sign = -1.0 if horizontal == "left" else 1.0
        moved[-2, -1] += sign * (1.0 + GAP) * np.ptp(across)
        return moved

    def _turn(self) -> None:
        if self.layer is not None:
            self.layer.visible = not self.layer.visible
            self._bench.viewer.canvas.overlays.text.text = self.caption
            self._bench.panels.name_compared()

    @property
    def caption(self) -> str:
        """Which of the two is on the screen, in words."""
        layers = self._bench.layers
        is_a = self.layer is not None and self.layer.visible and (layers.is_spread or self.manner is Manner.BLINK)
        return f"A · {self.title}" if is_a else f"B · {layers.caption_of(self._view)}"

    def shows_in(self, view: View) -> bool:
        """Tell whether two states take turns in a view."""
        return self.layer is not None and view is self._view

    def _clear(self) -> None:
        self._timer.stop()
        layer, self.layer, self._role = self.layer, None, None
        if layer is not None and layer in self._bench.viewer.layers:
            self._bench.viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            self.end()
