"""What a person looks at, and the image layers that show it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from deblend import Observation
from napari_deblend.machine import PictureKind
from napari_deblend.pictures import RESIDUAL_LIMITS, ColorMix, asinh_colormap, residual_colormap, stretch_limits
from napari_deblend.world import World

METADATA_KEY = "deblend"
"""Where a layer of ours keeps what it stands for, in `layer.metadata`."""


class View(Enum):
    """What is compared with what, by switching or blinking."""

    DATA = "Data"
    MODEL = "Model"
    RESIDUAL = "Residual"
    COMPONENT = "Component"


class Role(Enum):
    """What an image layer shows of its observation; the value is its name in the layer list."""

    DATA = "data"
    DATA_COLOR = "data in color"
    MODEL = "model"
    MODEL_COLOR = "model in color"
    RESIDUAL = "residual"
    COMPONENTS = "components"

    @property
    def picture(self) -> PictureKind | None:
        """What the machine has to render for it; None where it is the data."""
        return {
            Role.MODEL: PictureKind.MODEL,
            Role.MODEL_COLOR: PictureKind.COLOR,
            Role.RESIDUAL: PictureKind.RESIDUAL,
            Role.COMPONENTS: PictureKind.COMPONENT,
        }.get(self)

    @property
    def is_color(self) -> bool:
        return self in (Role.DATA_COLOR, Role.MODEL_COLOR)


def role_of(view: View, color: bool) -> Role:
    """Return which layer a view shows."""
    if view is View.DATA:
        return Role.DATA_COLOR if color else Role.DATA
    if view is View.MODEL:
        return Role.MODEL_COLOR if color else Role.MODEL
    return Role.RESIDUAL if view is View.RESIDUAL else Role.COMPONENTS


def layer_name(observation: Observation, role: Role) -> str:
    return f"{observation.name} {role.value}"


def data_layer_options(observation: Observation, world: World) -> dict[str, Any]:
    """Return the options of the layer of the data themselves: place, stretch, limits, unit and where it came from."""
    limits, softening = stretch_limits(observation.images, observation.weights)
    return {
        "name": layer_name(observation, Role.DATA),
        "colormap": asinh_colormap(softening),
        "contrast_limits": limits,
        "metadata": _metadata(observation, world, "nJy / pix"),
        **world.place(observation.grid, ("band",)),
    }


def layer_options(observation: Observation, role: Role, world: World, visible: bool) -> dict[str, Any]:
    """Return the options of one of the layers of an observation."""
    if role.is_color:
        options: dict[str, Any] = {
            "rgb": True,
            "metadata": _metadata(observation, world, ""),
            **world.place(observation.grid),
        }
    elif role is Role.RESIDUAL:
        options = {
            "colormap": residual_colormap(),
            "contrast_limits": RESIDUAL_LIMITS,
            "metadata": _metadata(observation, world, "sigma"),
            **world.place(observation.grid, ("band",)),
        }
    else:
        options = data_layer_options(observation, world)
        if role is Role.COMPONENTS:
            options |= world.place(observation.grid, ("component", "band")) | {"multiscale": False, "rgb": False}
    return options | {"name": layer_name(observation, role), "visible": visible}


def planes(observation: Observation, n_bands: int) -> np.ndarray:
    """Return the images [nJy/pix] as float32; a single band is repeated (not copied) for every step of the slider."""
    images = observation.images.astype(np.float32)
    images = np.where(observation.weights > 0, images, np.float32(np.nan))
    return repeat_bands(images, n_bands)


def repeat_bands(cube: np.ndarray, n_bands: int) -> np.ndarray:
    """Return a cube of one band as one of `n_bands`, so that the band slider never hides it; others as they are."""
    return np.broadcast_to(cube, (n_bands, *cube.shape[1:])) if cube.shape[0] == 1 else cube


def color_mix(observation: Observation) -> ColorMix:
    bands = tuple(channel.band for channel in observation.channels)
    return ColorMix.of(observation.images, observation.weights, bands)


def _metadata(observation: Observation, world: World, unit: str) -> dict[str, Any]:
    mine = {"observation": observation, "world_center": world.center}
    bands = [str(channel) for channel in observation.channels]
    return {METADATA_KEY: mine, "flux_unit": unit, "bands": bands, "notes": list(observation.notes)}
