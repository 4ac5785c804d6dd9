"""The only place that touches napari's private parts, or what differs between its versions and Qt's.

Each function says what public means would be used if there were one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import numpy as np
from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar
from napari._vispy.layers.vectors import generate_vector_meshes
from napari._vispy.overlays.text import VispyLayerNameOverlay
from napari._vispy.utils.visual import overlay_to_visual
from napari.components import LayerList
from napari.components.overlays import LayerNameOverlay
from napari.layers import Image, Labels, Layer, Points, Shapes, Vectors
from napari.layers.points._points_constants import Mode
from napari.layers.points._points_mouse_bindings import select
from napari.utils import progress
from napari.utils.colormaps import Colormap
from qtpy.QtWidgets import QMainWindow

Status = Callable[..., dict[str, str]]
TITLE = "deblend_title"
"""Under which name a layer has its title."""


def unwrap(viewer: Any) -> Any:
    """Return the viewer itself: a widget gets a proxy, whose layers are never identical to their own."""
    return getattr(viewer, "__wrapped__", viewer)


def main_window(viewer: Any) -> QMainWindow:
    """Return the window, to hear it close; napari has no signal for that."""
    return unwrap(viewer).window._qt_window


def canvas_of(viewer: Any) -> Any:
    """Return the canvas, to hold its drawing for a moment and to know when it has drawn."""
    return main_window(viewer)._qt_viewer.canvas


def on_screen(viewer: Any, sizes: tuple[int, int]) -> tuple[int, int]:
    """Return smallest and largest size of points [screen pix] as their layer takes them.

    It counts the finer pixels of a screen of high density one by one.
    """
    ratio = float(canvas_of(viewer).native.devicePixelRatioF())
    return round(ratio * sizes[0]), round(ratio * sizes[1])


def show_pixels(layer: Image, data: Any) -> None:
    """Give an image layer a fresh array of the same shape and dtype, and repaint.

    `layer.data = data` does this too, and besides validates dimensions, extent and thumbnail for 12 instead of 4 ms,
    which a stream of pictures cannot afford; nothing of that changes while shape and place stay.
    """
    if np.shape(data) != np.shape(layer.data):
        reshape(layer, data)
        return
    layer._data = layer._data_raw = data
    repaint(layer)


def recolor(layer: Image, colormap: Colormap) -> None:
    """Give an image layer another curve of the same colors; one whose colors a person has chosen keeps them.

    `layer.colormap = colormap` takes every curve for another colormap and lists it among all that can be chosen.
    """
    present = layer.colormap
    if not present.name.startswith(colormap.name):
        return
    colormap.name = present.name
    layer._colormap = colormap
    layer.events.colormap()


def repaint(layer: Layer, *, highlight: bool = False) -> None:
    """Draw a layer again, and nothing else.

    The layer list hears of everything a layer does, and draws all of its rows again, a fifth of the window's time;
    it listens to the group of the layer's events, the canvas to each of them.
    """
    with layer.events.blocker():
        layer.refresh(extent=False, thumbnail=False, highlight=highlight)


def reshape(layer: Image, data: Any) -> None:
    """Give an image layer data of another shape; napari forgets the old extent only of visible layers."""
    layer._clear_extent()
    layer.data = data


def move_points(layer: Points, data: np.ndarray) -> None:
    """Move the points of a layer and repaint; their number stays.

    `layer.data = data` draws the thumbnail in the layer list too, and with it, in software, the whole window again.
    """
    layer._data = np.asarray(data, dtype=float)
    repaint(layer, highlight=True)


def move_vectors(viewer: Any, layer: Vectors, data: np.ndarray) -> None:
    """Give a layer of lines other ones and repaint; their number stays, and `layer.data = data` costs as for points.

    Each time that vispy is given a mesh it builds its shaders anew, and software GL compiles them: it gets the corners
    alone.
    """
    layer._data = np.asarray(data, dtype=float)
    visual = canvas_of(viewer).layer_to_visual.get(layer)
    node = None if visual is None else visual.node
    if node is None or not layer.visible or viewer.dims.ndisplay != 2:
        repaint(layer)
        return
    with layer.events.set_data.blocker():
        repaint(layer)
    shape = layer.edge_width, layer.length, layer.vector_style
    corners, faces = generate_vector_meshes(layer._view_data, *shape)
    corners = np.pad(corners[:, ::-1], ((0, 0), (0, 1))).astype(np.float32)
    if faces.shape != node.mesh_data.get_faces().shape:
        repaint(layer)
        return
    node.mesh_data.set_vertices(corners)
    node._vertices.set_data(corners[faces])
    node.update()


def rewrite_points(
    layer: Points, data: np.ndarray, names: Sequence[str], looks: dict[str, Any], chosen: set[int]
) -> None:
    """Give a layer other points, with names, looks and selection; drawn once, where napari draws at every attribute."""
    with ExitStack() as quiet:
        quiet.enter_context(layer.events.blocker())
        for emitters in (layer.events, layer._border.events, layer._face.events, layer.text.events):
            quiet.enter_context(emitters.blocker_all())
        quiet.enter_context(layer._block_refresh())
        layer.selected_data = set()
        layer.data = data
        # napari keeps the first rows' features when points go: all of them are written again
        layer.features = {"name": np.array(names, dtype=object)}
        for attribute, values in looks.items():
            setattr(layer, attribute, values)
        layer.selected_data = chosen
    with layer.events.blocker():
        layer.refresh(thumbnail=False)


@contextmanager
def staying_active(layers: LayerList) -> Iterator[None]:
    """Have what is inserted leave the active layer alone: napari would show the controls of two layers in turn.

    Publicly: an argument of `insert`.
    """
    before = layers._activate_on_insert
    layers._activate_on_insert = False
    try:
        yield
    finally:
        layers._activate_on_insert = before


def is_mid_gesture(layer: Shapes) -> bool:
    """Tell whether the mouse is drawing or moving a shape just now; napari says nothing when it has done so."""
    return bool(layer._is_creating or layer._is_moving)


def is_mid_stroke(layer: Labels) -> bool:
    """Tell whether the mouse paints just now; napari says when a stroke of the brush is done, but not a polygon."""
    return bool(layer._block_history)


def show_progress(viewer: Any, bar: progress, value: int, description: str) -> None:
    """Move a bar of the activity dock without napari's own way of doing it.

    `bar.update` and `bar.set_description` process all waiting events of the window, twice: the whole canvas is drawn
    within the call, and mouse events are answered in the middle of it.
    """
    bar.n = value
    for widget in main_window(viewer)._activity_dialog.findChildren(QtLabeledProgressBar):
        if widget.progress is bar:
            widget.qt_progress_bar.setValue(value)
            widget.description_label.setText(f"{description}: ")


@contextmanager
def arranging(viewer: Any) -> Iterator[None]:
    """Have the canvas arranged once after several changes of what is in view, and not after each of them.

    napari does so itself while layers come and go in a batch, for which it collects garbage too.
    """
    canvas = canvas_of(viewer)
    if canvas._pause_scene_graph:
        yield
        return
    canvas._pause_scene_graph = True
    try:
        yield
    finally:
        canvas._pause_scene_graph = False
        canvas._update_scenegraph()


def divide_canvas(viewer: Any, cell_of: Callable[[Layer], int], shape: tuple[int, int], gap: int) -> None:
    """Divide the canvas into `shape` rows and columns of cells with one camera; a layer is in the cell `cell_of` says.

    napari's grid deals the layers out by their place in the list, as many to each cell; there is no public way to say
    which goes where. Cells without a visible layer are left out.
    """
    grid = unwrap(viewer).canvas.grid

    def groups(layers: Sequence[Layer]) -> tuple[dict[int, int], list[int]]:
        cells = {index: cell_of(layer) for index, layer in enumerate(layers)}
        return cells, sorted({cells[index] for index, layer in enumerate(layers) if layer.visible})

    object.__setattr__(grid, "_viewbox_groups", groups)
    grid.shape, grid.stride, grid.spacing = shape, 1, gap
    grid.enabled = True


def undivide_canvas(viewer: Any) -> None:
    """Have one picture fill the canvas again, and napari's grid be as a person has set it."""
    canvas = unwrap(viewer).canvas
    canvas.grid.enabled = False
    if "_viewbox_groups" in vars(canvas.grid):
        object.__delattr__(canvas.grid, "_viewbox_groups")
    canvas._update_viewer_grid()


def panel_scenes(viewer: Any) -> list[Any]:
    """Return the vispy scenes of the cells that the canvas is divided into, by rows; their coordinates are (x, y) of
    the world. napari has overlays for the canvas and for layers, none for a cell."""
    return [view.scene for view in canvas_of(viewer).grid_views]


class Title(LayerNameOverlay):
    """A text of ours over a layer, where napari has only the layer's name."""

    text: str = ""


class _DrawnTitle(VispyLayerNameOverlay):
    def _connect_events(self) -> None:
        self.overlay.events.text.connect(self._on_text_change)

    def _on_text_change(self) -> None:
        self.node.text = self.overlay.text
        self._on_position_change()


overlay_to_visual[Title] = _DrawnTitle


def set_title(layer: Layer, text: str) -> None:
    """Have a text stand over a layer, in the upper left corner of the canvas or of its cell; none where it is empty."""
    title = layer._overlays.get(TITLE)
    if title is None:
        title = Title(text=text, font_size=11)
        layer._overlays[TITLE] = title
    title.text, title.visible = text, bool(text)


def set_status(layer: Layer, status: Callable[[Any], tuple[str, str]]) -> None:
    """Have a layer say `status(world position)` = (place, value) in the status bar.

    napari computes it in a thread of its own, so `status` must take no locks; the precision that napari would show
    comes from `scale` and not from the affine.
    """
    name = layer._get_source_info

    def get_status(position: Any = None, **_: Any) -> dict[str, str]:
        place, value = status(position) if position is not None else ("", "")
        return {**name(), "coordinates": f"{place}   {value}", "coords": place, "value": value}

    layer.get_status = get_status


def _select_unless_taken(layer: Points, event: Any) -> Generator[None, None, None]:
    if not event.handled:
        yield from select(layer, event)


def _nothing(layer: Points, event: Any) -> None:
    """Adding is the viewer's gesture (`gestures.py`)."""


class SourcesLayer(Points):
    """Points whose gestures edit the document: a marker is dragged by our callback, which repaints while it moves.

    napari's own tools would move and add points behind the document's back; there is no public way to replace them.
    """

    _type_string = "points"
    _drag_modes: ClassVar[dict[Any, Any]] = {
        **Points._drag_modes,
        Mode.SELECT: _select_unless_taken,
        Mode.ADD: _nothing,
    }
