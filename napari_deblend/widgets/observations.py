"""Section: what is open, and everything that was assumed about it."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QCheckBox, QPushButton, QVBoxLayout, QWidget

from deblend import Observation
from deblend.io import checks
from deblend.observe import describe_psf, full_width_half_maximum
from napari_deblend.jobs import KERNELS, NOISE, STARS
from napari_deblend.runner import Phase
from napari_deblend.widgets.ink import Ink, write_in
from napari_deblend.widgets.interpretation import InterpretationForm
from napari_deblend.widgets.opening import ask_and_open
from napari_deblend.widgets.parts import HEADING, Section, Wrapped, action_button, fold, prose, row
from napari_deblend.widgets.star_psf import StarPsfPanel
from napari_deblend.workbench import Workbench

NOTE = "font-size: 11px;"
NOTE_HEADING = "QPushButton { font-weight: normal; }"


class ObservationsSection(Section):
    """Open files; a line per observation, and its notes."""

    title = "Observations"

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self.setObjectName("observations")
        self.open_button = QPushButton("Open FITS…")
        self.open_button.setToolTip("Open images, with their PSFs and weights, to work on them")
        self.open_button.clicked.connect(lambda: ask_and_open(bench, self.window()))
        self.adopt_button = QPushButton("Work on the new images")
        self.adopt_button.setToolTip("Other images were opened in this window; work on them instead")
        self.adopt_button.clicked.connect(bench.adopt)
        self.stars_button = action_button(bench, "psf_from_stars", "PSF from stars")
        self.star_psf = StarPsfPanel(bench)
        self.column.addLayout(
            row(self.open_button, action_button(bench, "show_layers", "Show layers"), self.stars_button, None)
        )
        self.column.addWidget(self.adopt_button)
        self.column.addWidget(self.star_psf)
        self._lines = QWidget()
        self._lines_layout = QVBoxLayout(self._lines)
        self._lines_layout.setContentsMargins(0, 0, 0, 0)
        self._lines_layout.setSpacing(4)
        self.column.addWidget(self._lines)
        self.correlated = QCheckBox("Correlated noise")
        self.correlated.setToolTip(
            "Resampled images have noise that neighbouring pixels share; measure it in blank sky and fit accordingly"
        )
        self.correlated.toggled.connect(bench.take_noise_for)
        self.column.addWidget(self.correlated)
        self.kernel_notes = prose()
        self.kernel_notes.setStyleSheet(NOTE)
        write_in(self.kernel_notes, Ink.DOUBT)
        self.kernel_notes.hide()
        self.column.addWidget(self.kernel_notes)
        self.listen(bench.document.observations_changed, self.show_observations)
        self.listen(bench.failed, self._on_failed)
        self.listen(bench.phase_changed, self._on_phase)
        self.listen(bench.offered, self._show_offer)
        self.listen(bench.result, self._on_result)
        self.show_observations()
        self._show_offer()

    def show_observations(self) -> None:
        while self._lines_layout.count():
            item = self._lines_layout.takeAt(0)
            if item.widget() is not None:
                item.widget().deleteLater()
        observations = self.bench.document.observations
        self.stars_button.setEnabled(bool(observations))
        self.star_psf.hide()
        if not observations:
            self._lines_layout.addWidget(prose("Open FITS images, or the sample under File ▸ Open Sample ▸ Deblend."))
        for index, observation in enumerate(observations):
            name = Wrapped(f"<b>{observation.name}</b>  {describe(observation)}")
            name.setToolTip(shapes(observation))
            self._lines_layout.addWidget(name)
            self._lines_layout.addWidget(self._understood(index, observation))
            if observation.notes:
                count = "1 thing was" if len(observation.notes) == 1 else f"{len(observation.notes)} things were"
                notes = prose("\n".join(f"– {note}" for note in observation.notes))
                notes.setStyleSheet(NOTE)
                write_in(notes, Ink.DOUBT)
                part = fold(f"{count} assumed or mended", notes, open_=False)
                part.write_in(Ink.DOUBT, HEADING + NOTE_HEADING)
                self._lines_layout.addWidget(part)

        self._show_noise()

    def _show_noise(self) -> None:
        self.correlated.blockSignals(True)
        self.correlated.setChecked(self.bench.is_noise_correlated)
        self.correlated.blockSignals(False)
        self.correlated.setVisible(self.bench.document.is_open)

    def _on_failed(self, job: str, sentence: str) -> None:
        if job == NOISE:
            self._show_noise()

    def _on_phase(self, phase: Phase) -> None:
        self.correlated.setEnabled(phase not in (Phase.RUNNING, Phase.PAUSED))

    def _understood(self, index: int, observation: Observation) -> QWidget:
        """Return how the files were understood, folded away unless something is doubtful; made when it is opened."""
        doubts = sum(bool(check.warning) for check in checks(observation))
        said = "Understood as…" if not doubts else f"Understood as… ({doubts} to check)"
        part = fold(said, InterpretationForm(self.bench, index), open_=False)
        if doubts:
            part.write_in(Ink.DOUBT, HEADING + NOTE_HEADING)
        return part

    def _on_result(self, name: str, outcome: Any) -> None:
        if name == STARS:
            self.star_psf.offer(*outcome)
        elif name == KERNELS:
            self.kernel_notes.setText("\n".join(f"– {note}" for note in outcome[0]))
            self.kernel_notes.setVisible(bool(outcome[0]))

    def _show_offer(self) -> None:
        self.adopt_button.setVisible(bool(self.bench.offers))


def describe(observation: Observation) -> str:
    """Return bands, size, scale, PSF and unit in one line."""
    height, width = observation.shape
    bands = [channel.band for channel in observation.channels]
    names = "".join(bands) if all(len(b) == 1 for b in bands) else ", ".join(bands)
    seeing = [full_width_half_maximum(stamp) / observation.psf_oversampling for stamp in observation.psf_samples]
    scale = 1.0 if observation.wcs is None else observation.wcs.pixel_scale
    unit = "px" if observation.wcs is None else "″"
    low, high = min(seeing) * scale, max(seeing) * scale
    psf = f"{low:.2f}{unit}" if high - low < 0.005 else f"{low:.2f}–{high:.2f}{unit}"
    size = f"{width}×{height} px" + ("" if observation.wcs is None else f" of {scale:.3g}″")
    return f"{names} · {size} · PSF {psf} FWHM · from {observation.unit}"


def shapes(observation: Observation) -> str:
    """Return width, ellipticity and centroid of the PSF, a line per band."""
    finely = observation.psf_samples, observation.psf_oversampling
    lines = [
        f"PSF of {channel.band}: {describe_psf(stamp, finely[1])}"
        for channel, stamp in zip(observation.channels, finely[0], strict=True)
    ]
    if observation.psf_field is not None:
        lines.append(f"It varies: this is the middle of {observation.psf_field.n_cells} places.")
    return "\n".join(lines)
