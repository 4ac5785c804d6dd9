"""Images that napari has opened with our reader: offered to be worked on, and adopted where nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_deblend.compat import main_window
from napari_deblend.views import METADATA_KEY

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class Offers:
    """Looks at the layers of a viewer, and takes up those that a person has just opened."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._timer = QTimer(main_window(bench.viewer))
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._adopt_where_nothing_is_lost)
        bench.viewer.layers.events.inserted.connect(self._on_layers)
        bench.viewer.layers.events.removed.connect(self._on_layers)
        self._timer.start(0)

    def disconnect(self) -> None:
        self._bench.viewer.layers.events.inserted.disconnect(self._on_layers)
        self._bench.viewer.layers.events.removed.disconnect(self._on_layers)

    @property
    def images(self) -> list[Image]:
        """Image layers made by our reader that are not worked on."""
        mine = {id(layer) for layer in self._bench.layers}
        return [
            layer
            for layer in self._bench.viewer.layers
            if METADATA_KEY in layer.metadata
            and layer.metadata[METADATA_KEY].get("observation")
            and id(layer) not in mine
            and layer.metadata[METADATA_KEY].get("offered")
        ]

    def adopt(self) -> None:
        """Work on the images that our reader has opened."""
        images = self.images
        observations = [layer.metadata[METADATA_KEY]["observation"] for layer in images]
        if observations:
            self._bench.open(observations, dict(enumerate(images)))

    def _on_layers(self, event: Any = None) -> None:
        self._timer.start(0)

    def _adopt_where_nothing_is_lost(self) -> None:
        bench = self._bench
        is_untouched = not bench.document.is_open or (
            not bench.document.scene.sources and bench.document.undo_label is None
        )
        if self.images and is_untouched:
            self.adopt()
        for layer in list(bench.viewer.layers):
            request = layer.metadata.get(METADATA_KEY, {}).get("request")
            if request is not None and layer is not bench.cutting.picture and request is not bench.cutting.request:
                bench.choose_piece(request, layer)
        bench.offered.emit()
