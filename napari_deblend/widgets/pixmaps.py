"""Small pictures of pixels: one turned as the window shows the image, or many side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap

from napari_deblend.stretch import brightness

TILE, GAP = 60, 3
"""Side of one of many pictures, and what is left between two [screen pix]."""
FAINT = 0.03
"""Where their stretch turns from linear to logarithmic [peak]."""


def pixmap_of(viewer: Any, picture: np.ndarray, side: int) -> QPixmap:
    """Return a picture (y, x, 3), uint8, as the window shows the image: up and to the right alike."""
    vertical, horizontal = (str(getattr(o, "value", o)) for o in viewer.scene.camera.orientation2d)
    turned = picture[:: -1 if vertical == "up" else 1, :: -1 if horizontal == "left" else 1]
    return _pixmap(turned).scaled(
        side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.FastTransformation
    )


def tiled_pixmap(pictures: Float[np.ndarray, "picture y x"], columns: int) -> QPixmap:
    """Return pictures of galaxies, brightest pixel 1, in rows of so many, faint light brightened; y goes up."""
    across = (np.arange(TILE) * pictures.shape[1]) // TILE
    light = brightness(np.clip(pictures[:, ::-1], 0.0, 1.0).astype(np.float32), 1.0 / FAINT)
    tiles = (255.0 * light[:, across][:, :, across] + 0.5).astype(np.uint8)
    tiles = np.pad(tiles, ((0, -len(tiles) % columns), (0, GAP), (0, GAP)))
    side = TILE + GAP
    gray = tiles.reshape(-1, columns, side, side).transpose(0, 2, 1, 3).reshape(-1, columns * side)
    return _pixmap(np.repeat(gray[..., None], 3, axis=-1))


def _pixmap(picture: UInt8[np.ndarray, "y x 3"]) -> QPixmap:
    pixels = np.ascontiguousarray(picture)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())
