"""Cutting out: a box, drawn on the image or said in words, of a large file's overview or of what is open.

The words are what counts: the box on the screen shows them, and drawing it writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import PixelGrid
from deblend.io import Overview, Scissors, as_cutout, overviews
from deblend.sky import PixelBox
from napari_deblend.compat import is_mid_gesture, main_window, set_status, show_pixels, unwrap
from napari_deblend.document import Document
from napari_deblend.finder import Finder
from napari_deblend.overview import overview_options, overview_status
from napari_deblend.request import Request
from napari_deblend.runner import ERROR
from napari_deblend.views import METADATA_KEY
from napari_deblend.world import World, sky_text

SIDE = 300
"""Of the box that is offered at first [pix]."""
COLOR = "#ffd166"
EDGE = 1.0 / 250.0
"""Width of the box's outline, as a fraction of the image it is drawn on."""
OVERVIEW = "overview"
GESTURE_PAUSE = 40
"""How often it is looked whether the mouse has finished a box [ms]."""


class Cutting:
    """What is to be cut out in one viewer, and of what."""

    changed = Signal()
    """The box, what it is cut of, or the overview is another."""

    def __init__(
        self,
        viewer: Any,
        document: Document,
        world: Callable[[], World],
        load: Callable[[Request], None],
        cut: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._viewer, self._document, self._world = unwrap(viewer), document, world
        self._load, self._cut, self._tell = load, cut, tell
        self.reader = Finder()
        self.request: Request | None = None
        """The large file whose overview there is."""
        self.overview: Overview | None = None
        self.picture: Image | None = None
        self.box_layer: Shapes | None = None
        self.text = ""
        """The cut-out in words."""
        self.mistake = ""
        """Why the words are no cut-out; empty where they are one."""
        self._box: PixelBox | None = None
        self._writing = False
        self._drawn_timer = QTimer(main_window(self._viewer))
        self._drawn_timer.setSingleShot(True)
        self._drawn_timer.timeout.connect(self._take_drawing)
        self._viewer.layers.events.removed.connect(self._on_removed)
        document.observations_changed.connect(self._on_observations)

    def disconnect(self) -> None:
        self.request = None
        self._drawn_timer.stop()
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._document.observations_changed.disconnect(self._on_observations)

    # what is cut -------------------------------------------------------------------------------------------------

    @property
    def is_of_file(self) -> bool:
        """Whether the box is of a large file: while its overview is looked at."""
        return self.picture is not None and self.picture in self._viewer.layers

    @property
    def grid(self) -> PixelGrid | None:
        """The pixels that the box is of: the large file's, or those of the first open observation."""
        if self.is_of_file and self.overview is not None:
            return self.overview.grid
        return self._document.observations[0].grid if self._document.is_open else None

    @property
    def name(self) -> str:
        """What is cut, as a person calls it."""
        if self.is_of_file and self.overview is not None:
            return self.overview.path.name
        return self._document.observations[0].name if self._document.is_open else ""

    @property
    def box(self) -> PixelBox | None:
        """The box as pixels of the image that it is cut from."""
        return self._box

    @property
    def description(self) -> str:
        """Size and place of the box, for a person."""
        if self.mistake or self._box is None or self.grid is None:
            return self.mistake
        (height, width), wcs = self._box.shape, self.grid.wcs
        if wcs is None:
            return f"{width} × {height} px at {self._box}"
        middle = (sum(self._box.x) - 1) / 2.0, (sum(self._box.y) - 1) / 2.0
        ra, dec = wcs.pixel_to_sky(*middle)
        sides = " × ".join(_angle(n * wcs.pixel_scale) for n in (width, height))
        return f"{width} × {height} px ({sides}) around {sky_text(float(ra), float(dec))}"

    # overviews ---------------------------------------------------------------------------------------------------

    def begin(self, request: Request, layer: Image | None = None) -> None:
        """Have a person choose a piece of a large file: read its overview, and offer the middle.

        `layer` is a picture of it that a reader has made.
        """
        self._forget()
        self.request, self.picture = request, layer
        self._tell("Reading an overview…")

        def read() -> tuple[Request, Overview | None]:
            view = None
            for view in overviews(request.first):
                # asked for another, or the window is closed
                if self.request is not request:
                    break
                self.reader.mailbox.post(OVERVIEW, (request, view))
            return request, view

        self.reader.submit(OVERVIEW, read)
        self.changed.emit()

    def take(self) -> str | None:
        """Show the newest overview; return a sentence where it could not be read."""
        news = self.reader.mailbox.take()
        request, view = news.get(OVERVIEW, (None, None))
        if view is not None and request is self.request:
            self._show_overview(view)
        return str(news[ERROR][1]) if ERROR in news else None

    def look_at_overview(self, is_seen: bool) -> None:
        """Show the overview, to cut another piece, or hide it."""
        if self.picture is None or self.is_of_file == is_seen:
            return
        self._drop_box()
        if is_seen:
            self._viewer.add_layer(self.picture)
            self._show_whole()
            self.offer_middle()
        else:
            self._put_away()
        self.changed.emit()

    def _put_away(self) -> None:
        """Take the overview off the window, whose view is fitted to all that is there; it is kept."""
        picture, self.picture = self.picture, None
        if picture is not None and picture in self._viewer.layers:
            self._viewer.layers.remove(picture)
        self.picture = picture

    def _show_overview(self, view: Overview) -> None:
        is_first = self.overview is None
        self.overview = view
        if self.picture is None:
            world = World.around(view.grid, self._world().center)
            self.picture = Image(view.pixels.astype(np.float32), **overview_options(view, world, self.request))
            self._viewer.add_layer(self.picture)
        else:
            show_pixels(self.picture, view.pixels.astype(np.float32))
        if is_first:
            set_status(self.picture, overview_status(view, self._world_of_picture()))
            self._show_whole()
            self.offer_middle()
            self._tell("Draw a box, or say where and how large; then press Cut out.")
        self.changed.emit()

    def _show_whole(self) -> None:
        assert self.picture is not None
        world = self._world_of_picture()
        self._viewer.scene.camera.orientation2d = world.orientation
        self._viewer.canvas.overlays.scale_bar.visible = True
        caption = self._viewer.canvas.overlays.text
        caption.position, caption.font_size, caption.visible = "top_left", 12, True
        caption.text = self.picture.name
        self._viewer.fit_to_view()

    @property
    def center(self) -> tuple[float, float] | None:
        """Where the world of the overview touches the sky [deg], for whatever is to lie on it."""
        return None if self.picture is None else self._world_of_picture().center

    def _world_of_picture(self) -> World:
        assert self.picture is not None
        return World(self.picture.metadata[METADATA_KEY]["world_center"])

    # the box -----------------------------------------------------------------------------------------------------

    def offer_middle(self) -> None:
        """Take a box in the middle."""
        grid = self.grid
        if grid is not None:
            height, width = grid.shape
            side = min(SIDE, max(height // 2, 1), max(width // 2, 1))
            self.set_text(_words(PixelBox.around((width - 1) / 2.0, (height - 1) / 2.0, side)))

    def set_text(self, text: str) -> None:
        """Take a cut-out in words and show it; what is wrong with them is in `mistake`."""
        self.text, self.mistake, grid = text, "", self.grid
        self._box = None
        try:
            if grid is not None and text.strip():
                header = None if grid.wcs is None else grid.wcs.to_header()
                self._box = Scissors(as_cutout(text))(header or {}, grid.shape, self.name)
                self._show_box(self._box, grid)
        except ValueError as error:
            self.mistake = str(error)
        self.changed.emit()

    def draw(self) -> None:
        """Have the mouse draw a box."""
        grid = self.grid
        if grid is None:
            raise ValueError("There is nothing to cut; open FITS files first.")
        layer = self._box_layer(grid)
        self._viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self._tell("Drag a box on the image; its corners and sides can be moved afterwards.")

    def cut(self) -> None:
        """Cut the box out; raises ValueError where it is none."""
        if self.mistake:
            raise ValueError(self.mistake)
        if self._box is None:
            raise ValueError("There is no box to cut out; draw one, or say where and how large.")
        if self.is_of_file and self.request is not None:
            self._load(replace(self.request, cutout=self.text))
        else:
            self._cut(self.text)

    def _box_layer(self, grid: PixelGrid) -> Shapes:
        if self.box_layer is None:
            world = self._world_of_picture() if self.is_of_file else self._world()
            self.box_layer = Shapes(
                ndim=2,
                name="cut-out",
                edge_color=COLOR,
                face_color="#ffd16618",
                edge_width=max(grid.shape) * EDGE,
                **world.place(grid),
            )
            self.box_layer.current_edge_color, self.box_layer.current_edge_width = COLOR, max(grid.shape) * EDGE
            self.box_layer.events.data.connect(self._on_drawn)
            self._viewer.add_layer(self.box_layer)
        return self.box_layer

    def _show_box(self, box: PixelBox, grid: PixelGrid) -> None:
        if self._writing:
            return
        (y0, y1), (x0, x1) = box.y, box.x
        corners = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float) - 0.5
        layer = self._box_layer(grid)
        self._writing = True
        try:
            layer.data = []
            layer.add_rectangles(corners, edge_width=max(grid.shape) * EDGE, edge_color=COLOR, face_color="#ffd16618")
        finally:
            self._writing = False

    def _on_drawn(self, event: Any) -> None:
        if not self._writing:
            # napari is in the middle of its own gesture
            self._drawn_timer.start(0)

    def _take_drawing(self) -> None:
        """Write what was drawn as words; of several boxes the last one holds."""
        layer, grid = self.box_layer, self.grid
        if layer is None or grid is None or not len(layer.data):
            return
        if is_mid_gesture(layer):
            # not before the mouse is let go
            self._drawn_timer.start(GESTURE_PAUSE)
            return
        corners = np.asarray(layer.data[-1])
        box = PixelBox.covering(corners[:, 1], corners[:, 0]).within(grid.shape)
        if box is None:
            self._tell("The box lies outside of the image; draw it on the image.")
            return
        many = len(layer.data) > 1
        if str(layer.mode) == "add_rectangle":
            layer.mode = "select"
        self._writing = not many
        try:
            self.set_text(_words(box))
        finally:
            self._writing = False
        if many:
            layer.selected_data = {0}

    # the end of things -------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Let an overview and its box go."""
        self.request, self.overview = None, None
        picture, self.picture = self.picture, None
        if picture is not None and picture in self._viewer.layers:
            self._viewer.layers.remove(picture)
        self._drop_box()

    def _drop_box(self) -> None:
        layer, self.box_layer = self.box_layer, None
        self.text, self.mistake, self._box = "", "", None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_observations(self) -> None:
        """What is opened is looked at; the overview stays for another piece."""
        self._drop_box()
        self._put_away()
        self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.box_layer:
            self.box_layer = None
            self.text, self._box = "", None
            self.changed.emit()
        elif event.value is self.picture:
            self._forget()
            self.changed.emit()


def _words(box: PixelBox) -> str:
    return f"{box.x[0]}:{box.x[1]},{box.y[0]}:{box.y[1]}"


def _angle(arcsec: float) -> str:
    return f"{arcsec:.1f}″" if arcsec < 120 else f"{arcsec / 60:.1f}′"
