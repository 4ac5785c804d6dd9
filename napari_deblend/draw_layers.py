"""Image layers of draws: their mean, their standard deviation, every draw by itself behind a lazy slider, and what of
a galaxy the data decide and what a learned prior does.

They are made when they are first looked at, lie over our other pictures, and step aside once a person looks at
another one. Limits are set by the first picture and are a person's from then on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from deblend import Method
from napari_deblend.compat import repaint, reshape, set_status, show_pixels, staying_active
from napari_deblend.components import ComponentStack, Cube
from napari_deblend.data_shares import COLORS, LIMITS, ShareReadOut, share_picture
from napari_deblend.drawing import DrawKind, Drawn, DrawPicture
from napari_deblend.pictures import asinh_colormap
from napari_deblend.status import ReadOut
from napari_deblend.views import Role, layer_options, repeat_bands

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

MOST_DRAWS = 24
"""How many draws the slider remembers."""
BRIGHTEST = 99.8
"""Percentile of the first deviation that is shown white."""


class DrawStack:
    """Looks like an array of shape (draw, component, band, y, x); holds what was looked at [nJy/pix]."""

    dtype = np.dtype(np.float32)
    ndim = 5

    def __init__(self, n_draws: int, source_ids: Sequence[str], shape: tuple[int, int, int]) -> None:
        self.source_ids = tuple(source_ids)
        self.shape = (max(n_draws, 1), max(len(self.source_ids), 1), *shape)
        self._stacks: OrderedDict[int, ComponentStack] = OrderedDict()
        self._empty = ComponentStack(self.source_ids, shape, lambda _: {})

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def put(self, draw: int, source_id: str, cube: Cube) -> None:
        """Take a rendered cube (band, y, x); the draws looked at longest ago are dropped."""
        if draw not in self._stacks:
            self._stacks[draw] = ComponentStack(self.source_ids, self.shape[2:], lambda _: {})
        self._stacks.move_to_end(draw)
        self._stacks[draw].put(source_id, cube)
        while len(self._stacks) > MOST_DRAWS:
            self._stacks.popitem(last=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, int | np.integer):
            return self._stacks.get(int(first), self._empty)[tuple(rest) or slice(None)]
        return np.stack([self[(int(draw), *rest)] for draw in np.arange(self.shape[0])[first]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise ValueError("Draws are rendered one by one as they are looked at; write them to files to have them all.")


class DrawLayers:
    """The layers of draws of one workbench, of the observation that is looked through."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.kind: DrawKind | None = None
        """What is looked at; None where it is none of these."""
        self._layers: dict[DrawKind, Image] = {}
        self._stack: DrawStack | None = None
        self._has_limits = self._is_new = False
        self._observation = 0
        self._drawn: Drawn | None = None
        self._read_share: ShareReadOut | None = None
        bench.viewer.layers.events.removed.connect(self._on_removed)

    def disconnect(self) -> None:
        self._bench.viewer.layers.events.removed.disconnect(self._on_removed)

    def layer(self, kind: DrawKind) -> Image | None:
        """Return a layer; None where it was not looked at yet, or a person has deleted it."""
        return self._layers.get(kind)

    def clear(self) -> None:
        """Remove the layers."""
        ours, self._layers, self._stack = list(self._layers.values()), {}, None
        self.kind, self._drawn, self._has_limits = None, None, False
        for layer in ours:
            if layer in self._bench.viewer.layers:
                self._bench.viewer.layers.remove(layer)

    def show(self, kind: DrawKind | None, drawn: Drawn | None) -> None:
        """Look at one of them, or at none; raises ValueError where there are no draws yet."""
        if kind is not None and (drawn is None or not drawn.n_done):
            raise ValueError("There are no draws yet; choose a way to draw under “Method”, and draw.")
        if kind is DrawKind.SHARE and drawn is not None and kind not in drawn.kinds:
            raise ValueError(
                "Only draws of pictures under a learned prior tell data from prior; choose “Method”, and draw."
            )
        layers = self._bench.layers
        self.kind = kind
        if self._observation != layers.seen_by:
            self.clear()
            self.kind, self._observation = kind, layers.seen_by
        self._drawn = drawn
        if kind is not None and kind not in self._layers and drawn is not None:
            self._make(kind, drawn)
        for own, layer in self._layers.items():
            layer.visible = own is kind

    def wanted(self, source_id: str | None) -> frozenset[DrawPicture]:
        """Return the pictures that are looked at, where a source is chosen or, with None, the whole model."""
        if self.kind in (None, DrawKind.SHARE) or self._drawn is None:
            return frozenset()
        if self.kind is not DrawKind.DRAW:
            return frozenset({DrawPicture(self.kind, self._observation, source_id)})
        draw, row = self.step
        if self._stack is None or row >= len(self._stack.source_ids):
            return frozenset()
        return frozenset({DrawPicture(self.kind, self._observation, self._stack.source_ids[row], draw)})

    @property
    def step(self) -> tuple[int, int]:
        """Where the sliders of draws and components stand."""
        dims = self._bench.viewer.dims
        if dims.ndim < 5:
            return 0, self._bench.layers.component_row
        return int(dims.current_step[dims.ndim - 5]), self._bench.layers.component_row

    def begin(self) -> None:
        """Have the next draws take the place of the present ones."""
        self._is_new = True

    def take(self, drawn: Drawn) -> None:
        """Put new pictures into the layers."""
        if self._is_new and DrawKind.DRAW in self._layers:
            self._renew_stack(drawn)
        self._is_new = False
        self._drawn = drawn
        if self._stack is not None and not drawn.phase.is_busy and len(self._stack) != max(drawn.n_kept, 1):
            self._renew_stack(drawn)
        self._take_pictures(drawn.pictures)

    def show_share(self, source_id: str | None) -> None:
        """Show what the data decide of a source, of the nearest galaxy without one."""
        layer, drawn = self._layers.get(DrawKind.SHARE), self._drawn
        if layer is None or drawn is None or self.kind is not DrawKind.SHARE:
            return
        if drawn.method is not Method.DIFFUSION:
            self.show(None, drawn)
            return
        show_pixels(layer, share_picture(drawn.shares, drawn.scene.grid.shape, source_id))

    def share_at(self, position: Any) -> str:
        """Return what the data decide at a world position, in words; nothing where that is not looked at."""
        if self.kind is not DrawKind.SHARE or self._read_share is None:
            return ""
        return self._read_share(position)[1]

    def _take_pictures(self, pictures: Mapping[DrawPicture, np.ndarray]) -> None:
        for picture, cube in pictures.items():
            layer = self._layers.get(picture.kind)
            if layer is None or picture.observation != self._observation:
                continue
            if picture.kind is DrawKind.DRAW:
                assert self._stack is not None and picture.source_id is not None
                self._stack.put(picture.draw, picture.source_id, cube)
                repaint(layer)
                continue
            show_pixels(layer, repeat_bands(np.asarray(cube, np.float32), self._n_bands))
            if picture.kind is DrawKind.DEVIATION and not self._has_limits and np.any(cube > 0):
                self._has_limits = True
                layer.contrast_limits = (0.0, float(np.percentile(cube[cube > 0], BRIGHTEST)))

    def _make(self, kind: DrawKind, drawn: Drawn) -> None:
        layer = self._new_share_layer(drawn) if kind is DrawKind.SHARE else self._new_layer(kind, drawn)
        self._layers[kind] = layer
        layers = self._bench.viewer.layers
        ours = [layers.index(own) for own in self._bench.layers if own in layers]
        with staying_active(layers):
            layers.insert(max(ours, default=-1) + 1, layer)

    def _new_share_layer(self, drawn: Drawn) -> Image:
        """Return a layer on the pixels of the scene, which are those of the pictures that are drawn."""
        world, grid = self._bench.layers.world, drawn.scene.grid
        pixels = np.full(grid.shape, np.nan, np.float32)
        options: dict[str, Any] = {"colormap": COLORS, "contrast_limits": LIMITS, **world.place(grid)}
        layer = Image(pixels, name=DrawKind.SHARE.value, **options)
        # where no caption is
        layer.colorbar.visible, layer.colorbar.position = True, "bottom_left"
        self._read_share = ShareReadOut(layer, grid, world)
        set_status(layer, self._read_share)
        return layer

    def _new_layer(self, kind: DrawKind, drawn: Drawn) -> Image:
        bench, k = self._bench, self._observation
        observation, levels = bench.layers.observations[k], bench.layers.levels(k)
        role = Role.COMPONENTS if kind is DrawKind.DRAW else Role.MODEL
        options = layer_options(observation, role, bench.layers.world, visible=True, levels=levels)
        if kind is DrawKind.DRAW:
            options |= bench.layers.world.place(observation.grid, ("draw", "component", "band"))
            pixels: Any = self._new_stack(drawn)
        else:
            shape = (self._n_bands, *observation.shape)
            pixels = np.zeros(shape, np.float32)
        if kind is DrawKind.DEVIATION:
            options["colormap"] = asinh_colormap(1.0)
        layer = Image(pixels, **options | {"name": f"{observation.name} {kind.value}"})
        set_status(layer, ReadOut(layer, observation, role, bench.layers.world))
        return layer

    @property
    def _n_bands(self) -> int:
        return max(len(o.channels) for o in self._bench.layers.observations)

    def _new_stack(self, drawn: Drawn) -> DrawStack:
        observation = self._bench.layers.observations[self._observation]
        n_bands = self._n_bands if len(observation.channels) == 1 else len(observation.channels)
        # while more are to come the slider has their places: one that grew would pull the view with every draw
        n_draws = drawn.n_wanted if drawn.phase.is_busy else drawn.n_kept
        ids = [source.id for source in drawn.scene.sources]
        self._stack = DrawStack(n_draws, ids, (n_bands, *observation.shape))
        return self._stack

    def _renew_stack(self, drawn: Drawn) -> None:
        reshape(self._layers[DrawKind.DRAW], self._new_stack(drawn))

    def _on_removed(self, event: Any) -> None:
        for kind in [kind for kind, layer in self._layers.items() if layer is event.value]:
            del self._layers[kind]
            if kind is DrawKind.DRAW:
                self._stack = None
            if kind is self.kind:
                self.kind = None
