"""Part of the fit: how images may be off what their files say, and what was found of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from qtpy.QtWidgets import QVBoxLayout, QWidget

from deblend.measure import calibration_lines, calibration_table
from napari_deblend.document import Change
from napari_deblend.widgets.parts import Links, prose
from napari_deblend.widgets.settings import form
from napari_deblend.workbench import Workbench


@dataclass(frozen=True)
class Adjustments:
    """What the fit may find of every image; the names are those of a scene's calibration."""

    shift: bool = False
    flux_scale: bool = False
    psf_growth: bool = False
    rotation: bool = False
    background: bool = False
    background_slope: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


TIPS = {
    "shift": "How far sources are seen off where the WCS says, per band, relative to the first band",
    "flux_scale": "How much brighter sources are seen, relative to the first band; "
    "needs sources of known or shared fluxes",
    "psf_growth": "How much wider, and in which direction, PSFs are than given; stars tell it best",
    "rotation": "How far sources are seen turned about the middle of the image, per telescope, relative to the first",
    "background": "Light of the sky that was left in the images, a constant per band",
    "background_slope": "How that rises across the image",
}


class Calibrating(QWidget):
    """Boxes to tick, and a line per band that is off."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self._bench = bench
        self.form = form(Adjustments(), self._set)
        for name, tip in TIPS.items():
            self.form[name].tooltip = tip
        self.found = prose()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form.native)
        column.addWidget(self.found)
        self._links = Links()
        self.destroyed.connect(self._links.end)
        self._links.connect(bench.document.scene_changed, self._on_scene)
        self._show()

    def _set(self, adjustments: Adjustments) -> None:
        if self._bench.document.is_open:
            self._bench.document.calibrate(adjustments.names)

    def _on_scene(self, change: Change) -> None:
        if change is not Change.LIVE:
            self._show()

    def _show(self) -> None:
        document = self._bench.document
        free: set[str] = set()
        lines: list[str] = []
        if document.is_open and document.scene.calibrations:
            scene = document.scene
            free = {name for c in scene.calibrations for name, p in c.parameters.items() if p.is_free}
            table = calibration_table(scene)
            lines = [] if table is None else calibration_lines(table)
        with self.form.changed.blocked():
            for name in TIPS:
                if self.form[name].value != (name in free):
                    self.form[name].value = name in free
        self.found.setText("\n".join(lines))
        self.found.setVisible(bool(lines))
