"""Small pictures of pixels, turned as the window shows the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap


def pixmap_of(viewer: Any, picture: np.ndarray, side: int) -> QPixmap:
    """Return a picture (y, x, 3), uint8, as the window shows the image: up and to the right alike."""
    vertical, horizontal = (str(getattr(o, "value", o)) for o in viewer.scene.camera.orientation2d)
    turned = picture[:: -1 if vertical == "up" else 1, :: -1 if horizontal == "left" else 1]
    pixels = np.ascontiguousarray(turned)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy()).scaled(
        side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.FastTransformation
    )
