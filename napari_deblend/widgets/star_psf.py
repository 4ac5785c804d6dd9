"""What stars make of the PSF, shown before it is taken: its stamp, the stars, and what it leaves of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QSpinBox, QVBoxLayout

from deblend import StarPsf
from deblend.observe import describe_psf
from napari_deblend.star_psf import make_star_psf, take_star_psf
from napari_deblend.widgets.parts import prose, row
from napari_deblend.workbench import Workbench

SIDE = 56
"""Of a thumbnail [screen pix]."""
MOST_STARS = 5
MOST_BANDS = 5
FAINT = 0.01
"""Where the stretch of stars turns from linear to logarithmic [peak]."""
LEFT = 0.05
"""Of what is left, shown as full color [peak]."""
BRIGHTER, FAINTER = np.array([5.0, -110.0, -215.0]), np.array([-215.0, -120.0, 5.0])
"""From light grey to orange and to blue."""
GAP = 3


class StarPsfPanel(QFrame):
    """Hidden until there is a PSF to look at."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__()
        self.bench = bench
        self.index = 0
        self.found: StarPsf | None = None
        self.picture = QLabel()
        self.picture.setToolTip(
            f"A row per band: the PSF, then each star above what is left of it (full color: {LEFT:.0%} of the peak)"
        )
        self.words = prose()
        self.samples = QSpinBox()
        self.samples.setRange(1, 4)
        self.samples.setToolTip("More tell what lies between pixels; they want more stars")
        self.samples.valueChanged.connect(self._again)
        self.take_button = QPushButton("Take this PSF")
        self.take_button.clicked.connect(self._take)
        self.leave_button = QPushButton("Leave it")
        self.leave_button.clicked.connect(self.hide)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 2)
        column.addWidget(self.picture)
        column.addWidget(self.words)
        column.addLayout(row(QLabel("Samples per pixel"), self.samples, None))
        column.addLayout(row(self.take_button, self.leave_button, None))
        self.hide()

    def offer(self, index: int, found: StarPsf) -> None:
        """Show a PSF for the observation of that index."""
        self.index, self.found = index, found
        self.samples.blockSignals(True)
        self.samples.setValue(found.oversampling)
        self.samples.blockSignals(False)
        self.picture.setPixmap(pixmap(sheet(found)))
        bands = [channel.band for channel in self.bench.document.observations[index].channels]
        shapes = [describe_psf(stamp, found.oversampling) for stamp in found.psf]
        lines = [f"{band}: {shape}." for band, shape in zip(bands, shapes, strict=True)]
        self.words.setText("\n".join([*found.notes, *lines]))
        self.show()
        self.bench.tell("Look at the PSF and at what it leaves of the stars; then take it or leave it.")

    def _again(self, samples: int) -> None:
        make_star_psf(self.bench, self.index, samples)

    def _take(self) -> None:
        if self.found is not None:
            self.hide()
            take_star_psf(self.bench, self.index, self.found)


def sheet(found: StarPsf) -> UInt8[np.ndarray, "y x 3"]:
    """Return a picture of a row per band: the PSF, the brightest stars, and below them what is left of each."""
    blocks = []
    for band in range(min(len(found.psf), MOST_BANDS)):
        used = np.flatnonzero(found.used[band])
        chosen = used[np.argsort(-found.flux[band, used])][:MOST_STARS]
        stamp = found.psf[band] / found.psf[band].max()
        light = [grey(stamp), *(grey(found.cutouts[band, i]) for i in chosen)]
        left = [np.zeros_like(light[0]), *(red_and_blue(found.residuals[band, i]) for i in chosen)]
        blocks += [np.concatenate(line, axis=1) for line in (light, left)]
    wide = max(block.shape[1] for block in blocks)
    return np.concatenate([np.pad(block, ((0, 0), (0, wide - block.shape[1]), (0, 0))) for block in blocks])


def grey(light: Float[np.ndarray, "side side"]) -> UInt8[np.ndarray, "y x 3"]:
    """Return a thumbnail of light of peak 1, wings and noise visible; masked pixels are dark red."""
    level = np.arcsinh(np.nan_to_num(light) / FAINT) / np.arcsinh(1.0 / FAINT)
    shade = np.clip(255 * (0.15 + 0.85 * level), 0, 255)
    colors = np.repeat(shade[..., None], 3, axis=-1)
    colors[~np.isfinite(light)] = (90, 20, 20)
    return thumbnail(colors.astype(np.uint8))


def red_and_blue(left: Float[np.ndarray, "side side"]) -> UInt8[np.ndarray, "y x 3"]:
    """Return a thumbnail of a residual: orange where the star is brighter, blue where it is fainter."""
    level = np.clip(np.nan_to_num(left) / LEFT, -1.0, 1.0)[..., None]
    colors = 235.0 + np.abs(level) * np.where(level > 0, BRIGHTER, FAINTER)
    colors[~np.isfinite(left)] = (90, 20, 20)
    return thumbnail(np.clip(colors, 0, 255).astype(np.uint8))


def thumbnail(colors: UInt8[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "y x 3"]:
    """Return a picture of one size whatever the stamp's, with a gap around it; y goes up."""
    index = (np.arange(SIDE) * colors.shape[0]) // SIDE
    return np.pad(colors[index][:, index][::-1], ((0, GAP), (0, GAP), (0, 0)))


def pixmap(colors: UInt8[np.ndarray, "y x 3"]) -> QPixmap:
    colors = np.ascontiguousarray(colors)
    height, width, _ = colors.shape
    image = QImage(colors.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
