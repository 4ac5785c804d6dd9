"""The layers of the open work: made once, then given fresh pictures; found by identity, never by name.

Whatever a person does to a layer holds: limits, colors, visibility, order, name are set when a layer is made and
not again. A layer that is deleted is let go; the others go on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from napari.layers import Image
from psygnal import Signal

from deblend import Channel, Observation, Source
from napari_deblend.compat import arranging, recolor, repaint, reshape, set_status, show_pixels, unwrap
from napari_deblend.components import ComponentStack, Cube
from napari_deblend.isolating import Isolated
from napari_deblend.machine import Frame, Picture, PictureKind
from napari_deblend.pictures import ColorMix, filled
from napari_deblend.status import ReadOut
from napari_deblend.stretch import Levels, LightRange, Stretch
from napari_deblend.views import (
    PANELS,
    Role,
    View,
    color_mix,
    layer_options,
    light_range,
    look_of,
    planes,
    repeat_bands,
    role_of,
)
from napari_deblend.world import World

LIGHT_OF_COLOR = {PictureKind.COLOR: PictureKind.MODEL, PictureKind.ISOLATED_COLOR: PictureKind.ISOLATED}
"""From what is in color to the same light in bands."""
RenderAll = Callable[[int, Sequence[str]], Mapping[str, Cube]]
"""From an observation's index and source ids to their components; may wait."""


class ImageLayers:
    """The image layers of every observation, and which of them are looked at."""

    wanted_changed = Signal()
    """Other pictures are visible now."""
    view_changed = Signal()
    looked = Signal()
    """Somebody asked for one of our pictures, be it the same."""
    component_chosen = Signal(str)
    """A person moved the component slider to the source of this id."""
    emptied = Signal()
    """A person has deleted the last of our layers."""

    def __init__(self, viewer: Any, render_all: RenderAll) -> None:
        self._viewer = unwrap(viewer)
        self._render_all = render_all
        self._layers: dict[tuple[Role, int], Image] = {}
        self._pending: dict[tuple[Role, int], np.ndarray] = {}
        self._stacks: dict[int, ComponentStack] = {}
        self._observations: tuple[Observation, ...] = ()
        self._source_ids: tuple[str, ...] = ()
        self._n_bands = 1
        self._row_seen = 0
        """Where the component slider stood while components were looked at last."""
        self._stale = False
        """Whether sources have come or gone since the component layers were made."""
        self.world = World(None)
        self.mixes: dict[int, ColorMix] = {}
        self.stretch = Stretch()
        self._lights: dict[int, LightRange] = {}
        self.view, self.color = View.DATA, True
        self.is_spread = False
        """Whether data, model, residual and component are looked at side by side."""
        self.isolated = Isolated()
        """Which sources are seen alone, and how."""
        self.in_flux = False
        """Whether residuals are seen in flux, and not in units of the noise."""
        self.seen_by = 0
        """Which observation is looked at: those of one patch of sky would hide each other."""
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.current_step.connect(self._on_step)

    def disconnect(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.current_step.disconnect(self._on_step)

    # making and losing layers ------------------------------------------------------------------------------------

    def open(self, observations: Sequence[Observation], world: World, adopted: Mapping[int, Image]) -> None:
        """Make the layers of these observations, around data layers that are there already."""
        # first, since whoever hears of layers that go looks through it at the new observations
        self.seen_by, self.is_spread = 0, False
        self.clear(keep=list(adopted.values()))
        self._observations, self.world = tuple(observations), world
        self._n_bands = max(len(o.channels) for o in observations)
        self._lights = {k: light_range(o) for k, o in enumerate(observations)}
        self.mixes = {k: color_mix(o).stretched(self.stretch) for k, o in enumerate(observations)}
        self._source_ids = ()
        self.view, self.color = View.DATA, any(len(o.channels) > 1 for o in observations)
        for k, layer in adopted.items():
            self._take(Role.DATA, k, layer)
        self.restore()

    def restore(self) -> None:
        """Make those layers that are missing: all of them at first, deleted ones when a person asks for them."""
        for role in Role:
            for k, observation in enumerate(self._observations):
                if (role, k) in self._layers or role.is_late or (role.is_color and len(observation.channels) == 1):
                    continue
                self._viewer.add_layer(self._made(role, k))
        self.look_at()

    def _made(self, role: Role, k: int) -> Image:
        options = layer_options(self._observations[k], role, self.world, visible=False, levels=self.levels(k))
        layer = Image(self._first_pixels(role, k), **options)
        self._take(role, k, layer)
        return layer

    def _make_late(self, roles: Set[Role]) -> None:
        """Have layers for what is rarely looked at, above our others and below markers; what is selected stays so."""
        k, layers = self.seen_by, self._viewer.layers
        missing = [role for role in roles if role.is_late and (role, k) not in self._layers]
        if not missing or not self._layers:
            return
        active = layers.selection.active
        for role in missing:
            highest = max(layers.index(layer) for layer in self._layers.values())
            layers.insert(highest + 1, self._made(role, k))
        layers.selection.active = active

    def clear(self, keep: Sequence[Image] = ()) -> None:
        """Remove our layers from the window, but those to keep."""
        ours, self._layers = list(self._layers.values()), {}
        self._pending.clear()
        self._stacks.clear()
        for layer in ours:
            layer.events.visible.disconnect(self._on_visible)
            if layer in self._viewer.layers and not any(layer is k for k in keep):
                self._viewer.layers.remove(layer)

    def layer(self, role: Role, observation: int = 0) -> Image | None:
        """Return a layer; None where a person has deleted it."""
        return self._layers.get((role, observation))

    def __iter__(self) -> Iterator[Image]:
        return iter(self._layers.values())

    def __len__(self) -> int:
        return len(self._layers)

    def _take(self, role: Role, k: int, layer: Image) -> None:
        self._layers[role, k] = layer
        layer.events.visible.connect(self._on_visible)
        set_status(layer, ReadOut(layer, self._observations[k], role, self.world))

    def _first_pixels(self, role: Role, k: int) -> Any:
        observation = self._observations[k]
        height, width = observation.shape
        if role is Role.DATA:
            return planes(observation, self._n_bands)
        if role is Role.DATA_COLOR:
            return self.mixes[k](filled(observation.images, observation.weights))
        if role in (Role.MODEL_COLOR, Role.ISOLATED_COLOR):
            return np.zeros((height, width, 3), np.uint8)
        if role is Role.COMPONENTS:
            return self._new_stack(k)
        n_planes = 1 if role is Role.CHI2 else len(observation.channels)
        return repeat_bands(np.zeros((n_planes, height, width), np.float32), self._n_bands)

    def _on_removed(self, event: Any) -> None:
        keys = [key for key, layer in self._layers.items() if layer is event.value]
        for key in keys:
            self._layers.pop(key).events.visible.disconnect(self._on_visible)
            self._pending.pop(key, None)
        if keys:
            self.wanted_changed.emit()
            if not self._layers:
                self.emptied.emit()

    # looking -----------------------------------------------------------------------------------------------------

    @property
    def observations(self) -> tuple[Observation, ...]:
        return self._observations

    def look_through(self, observation: int) -> None:
        """Show the same view as another observation has it."""
        self.seen_by = observation % max(len(self._observations), 1)
        self.look_at()

    def look_at(self, view: View | None = None, color: bool | None = None, in_flux: bool | None = None) -> None:
        """Show one of data, model, residual and component, of one observation; all else is hidden.

        Without a `view`, what is in view stays: one of them, or all side by side.
        """
        if view is not None:
            self.view, self.is_spread = view, False
        self.color = self.color if color is None else color
        self.in_flux = self.in_flux if in_flux is None else in_flux
        roles = {self.role_of(seen) for seen in (PANELS if self.is_spread else (self.view,))}
        self._make_late(roles)
        with arranging(self._viewer):
            for (role, k), layer in self._layers.items():
                layer.visible = k == self.seen_by and role in roles
            self.looked.emit()
            self.view_changed.emit()

    def spread(self) -> None:
        """Show data, model, residual and component, all at once; `panels` has them side by side."""
        self.view, self.is_spread = View.DATA, True
        self.look_at()

    def has_in_view(self, view: View) -> bool:
        """Tell whether a view is looked at, alone or beside others."""
        return view in PANELS if self.is_spread else view is self.view

    def view_of(self, layer: Any) -> View | None:
        """Return what a layer shows; None where it is none of ours."""
        return next((role.view for (role, _), ours in self._layers.items() if ours is layer), None)

    def role_of(self, view: View) -> Role:
        """Return what shows a view of the observation that is looked through."""
        k = self.seen_by
        has_color = (Role.DATA_COLOR, k) in self._layers or (Role.MODEL_COLOR, k) in self._layers
        return role_of(view, self.color and has_color, self.in_flux)

    def isolate(self, isolated: Isolated) -> None:
        """See other sources alone, or in another manner."""
        if isolated != self.isolated:
            self.isolated = isolated
            if self.view is View.ISOLATED:
                self.wanted_changed.emit()
                self.view_changed.emit()

    def picture(self, role: Role, observation: int) -> Picture | None:
        """Return what the machine has to render for a layer; None where it is the data, or goes by the slider."""
        if role.picture is None or role is Role.COMPONENTS:
            return None
        return Picture(role.picture, observation, isolated=self.isolated if role.is_isolated else None)

    @property
    def role(self) -> Role:
        """What is in view, of the observation that is looked through."""
        return self.role_of(self.view)

    def light(self, observation: int) -> LightRange:
        """Return the range of the light of an observation's single bands."""
        return self._lights[observation]

    def levels(self, observation: int) -> Levels:
        """Return black, white and curve of an observation's single bands."""
        return self._lights[observation].levels(self.stretch)

    def restretch(self, stretch: Stretch) -> None:
        """Show all pictures in another stretch; colors of data follow with `recolor`."""
        self.stretch = stretch
        self.mixes = {k: mix.stretched(stretch) for k, mix in self.mixes.items()}
        for (role, k), layer in self._layers.items():
            if not role.is_color and role not in (Role.RESIDUAL, Role.CHI2):
                look = look_of(role, self.levels(k))
                recolor(layer, look["colormap"])
                layer.contrast_limits = look["contrast_limits"]

    def recolor(self, colors: Mapping[int, np.ndarray]) -> None:
        """Show the data of these observations in these colors (y, x, 3)."""
        for k, pixels in colors.items():
            if (layer := self._layers.get((Role.DATA_COLOR, k))) is not None:
                show_pixels(layer, pixels)

    @property
    def wanted(self) -> frozenset[Picture]:
        """The pictures that are visible now."""
        wanted = set()
        for (role, k), layer in self._layers.items():
            if role.picture is None or not layer.visible:
                continue
            if (picture := self.picture(role, k)) is not None:
                wanted.add(picture)
                if role.is_color:
                    # its light under the pointer; it is made on the way
                    wanted.add(picture._replace(kind=LIGHT_OF_COLOR[picture.kind]))
            elif (shown := self._stacks[k].source_id(self.component_row)) is not None:
                wanted.add(Picture(role.picture, k, shown))
        return frozenset(wanted)

    @property
    def channel(self) -> Channel | None:
        """The one channel that is in view; None where it is the color of several."""
        if not self._observations:
            return None
        channels = self._observations[self.seen_by].channels
        return None if self.role.is_color else channels[min(self.band, len(channels) - 1)]

    def shows(self, source: Source) -> bool:
        """Tell whether a source that moves is at the epoch that is in view; others always are."""
        channel = self.channel
        return source.track is None or channel is None or source.track.time == channel.time

    @property
    def caption(self) -> str:
        """What is on the screen, in words."""
        return self.caption_of(self.view)

    def caption_of(self, view: View) -> str:
        """Return what a view shows, in words."""
        if not self._observations:
            return ""
        role = self.role_of(view)
        observation = self._observations[self.seen_by]
        # bands that no file names are called after their image
        bands = [channel.name.removeprefix(f"{observation.name}_") for channel in observation.channels]
        title = view.value if len(self._observations) == 1 else f"{view.value} · {observation.name}"
        if view is View.ISOLATED:
            title = f"{title}: {self.isolated.manner.value}"
        if view is View.CHI2:
            return f"{title} per pixel, over the PSF"
        if role.is_color:
            joint = "" if all(len(b) == 1 for b in bands) else " "
            return f"{title} · {joint.join(bands)}"
        return f"{title} · {bands[min(self.band, len(bands) - 1)]} [{role.unit}]"

    @property
    def component_row(self) -> int:
        """Where the component slider stands."""
        dims = self._viewer.dims
        return int(dims.current_step[dims.ndim - 4]) if dims.ndim >= 4 else 0

    @property
    def band(self) -> int:
        """Where the band slider stands."""
        dims = self._viewer.dims
        return int(dims.current_step[dims.ndim - 3]) if dims.ndim >= 3 else 0

    def show_component(self, source_id: str) -> None:
        """Move the component slider to a source."""
        self.renew_components()
        dims = self._viewer.dims
        if source_id in self._source_ids and dims.ndim >= 4 and self._stacks:
            row = self._source_ids.index(source_id)
            if row != self.component_row:
                dims.set_current_step(dims.ndim - 4, row)

    @property
    def shows_components(self) -> bool:
        return any(layer.visible for (role, _), layer in self._layers.items() if role is Role.COMPONENTS)

    def _on_visible(self) -> None:
        if self.shows_components:
            self.renew_components()
        for key in [k for k in self._pending if self._layers[k].visible]:
            show_pixels(self._layers[key], self._pending.pop(key))
        self.wanted_changed.emit()

    def _on_step(self) -> None:
        if self.shows_components:
            self.wanted_changed.emit()
            row = self.component_row
            if row != self._row_seen and row < len(self._source_ids):
                self.component_chosen.emit(self._source_ids[row])
            self._row_seen = row
        self.view_changed.emit()

    # pictures ----------------------------------------------------------------------------------------------------

    def set_sources(self, source_ids: Sequence[str]) -> None:
        """Have a component for each of these sources."""
        if tuple(source_ids) == self._source_ids:
            return
        self._source_ids = tuple(source_ids)
        self._stale = True
        if self.shows_components:
            self.renew_components()

    def renew_components(self) -> None:
        """Have a step of the component slider for every source; it costs, so hidden layers wait for a quiet moment."""
        if not self._stale:
            return
        self._stale = False
        for (role, k), layer in self._layers.items():
            if role is Role.COMPONENTS:
                reshape(layer, self._new_stack(k))
        self.wanted_changed.emit()

    def show(self, frame: Frame) -> None:
        """Put the pictures of a frame into their layers; hidden layers keep theirs until they are seen."""
        for (role, k), layer in self._layers.items():
            if role is Role.COMPONENTS:
                self._show_components(k, layer, frame)
            elif (picture := self.picture(role, k)) is not None and (array := frame.pictures.get(picture)) is not None:
                pixels = array if role.is_color else repeat_bands(np.asarray(array, np.float32), self._n_bands)
                if layer.visible:
                    show_pixels(layer, pixels)
                else:
                    self._pending[role, k] = pixels

    def _show_components(self, k: int, layer: Image, frame: Frame) -> None:
        stack = self._stacks[k]
        stack.forget()
        for picture, cube in frame.pictures.items():
            if picture.kind is PictureKind.COMPONENT and picture.observation == k:
                stack.put(picture.source_id, cube)
        if layer.visible:
            repaint(layer)

    def refresh_thumbnails(self) -> None:
        """Redraw the small pictures of the layer list; too slow for a stream, so it is done when it has ended."""
        for layer in self._layers.values():
            if layer.visible:
                with warnings.catch_warnings():
                    # numpy warns of slices without a single good pixel
                    warnings.simplefilter("ignore", RuntimeWarning)
                    layer.refresh(extent=False, thumbnail=True, highlight=False)

    def _new_stack(self, k: int) -> ComponentStack:
        height, width = self._observations[k].shape
        shape = self._n_bands if len(self._observations[k].channels) == 1 else len(self._observations[k].channels)
        self._stacks[k] = ComponentStack(self._source_ids, (shape, height, width), lambda ids: self._render_all(k, ids))
        return self._stacks[k]
