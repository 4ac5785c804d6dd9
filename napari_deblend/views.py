"""What a person looks at, and the image layers that show it."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from deblend import Observation
from napari_deblend.machine import PictureKind
from napari_deblend.pictures import (
    CHI2_LIMITS,
    RESIDUAL_LIMITS,
    ColorMix,
    asinh_colormap,
    chi2_colormap,
    light_of,
    residual_colormap,
    residual_flux_colormap,
)
from napari_deblend.stretch import Levels, LightRange
from napari_deblend.world import World

METADATA_KEY = "deblend"
"""Where a layer of ours keeps what it stands for, in `layer.metadata`."""


class View(Enum):
    """What is compared with what, by switching or blinking."""

    DATA = "Data"
    MODEL = "Model"
    RESIDUAL = "Residual"
    COMPONENT = "Component"
    ISOLATED = "Isolated"
    CHI2 = "χ²"


PANELS = (View.DATA, View.MODEL, View.RESIDUAL, View.COMPONENT)
"""What is looked at side by side, in that order."""


class Role(Enum):
    """What an image layer shows of its observation; the value is its name in the layer list."""

    DATA = "data"
    DATA_COLOR = "data in color"
    MODEL = "model"
    MODEL_COLOR = "model in color"
    RESIDUAL = "residual"
    RESIDUAL_FLUX = "residual in flux"
    CHI2 = "chi²"
    COMPONENTS = "components"
    ISOLATED = "isolated"
    ISOLATED_COLOR = "isolated in color"

    @property
    def picture(self) -> PictureKind | None:
        """What the machine has to render for it; None where it is the data."""
        return {
            Role.MODEL: PictureKind.MODEL,
            Role.MODEL_COLOR: PictureKind.COLOR,
            Role.RESIDUAL: PictureKind.RESIDUAL,
            Role.RESIDUAL_FLUX: PictureKind.RESIDUAL_FLUX,
            Role.CHI2: PictureKind.CHI2,
            Role.COMPONENTS: PictureKind.COMPONENT,
            Role.ISOLATED: PictureKind.ISOLATED,
            Role.ISOLATED_COLOR: PictureKind.ISOLATED_COLOR,
        }.get(self)

    @property
    def view(self) -> View:
        """What a person looks at with it."""
        return {
            Role.DATA: View.DATA,
            Role.DATA_COLOR: View.DATA,
            Role.MODEL: View.MODEL,
            Role.MODEL_COLOR: View.MODEL,
            Role.CHI2: View.CHI2,
            Role.COMPONENTS: View.COMPONENT,
        }.get(self, View.RESIDUAL)

    @property
    def is_color(self) -> bool:
        return self in (Role.DATA_COLOR, Role.MODEL_COLOR, Role.ISOLATED_COLOR)

    @property
    def is_isolated(self) -> bool:
        """Whether it shows chosen sources without the others."""
        return self in (Role.ISOLATED, Role.ISOLATED_COLOR)

    @property
    def is_late(self) -> bool:
        """Whether its layer is made when it is first looked at: each takes a tenth of a second."""
        return self.is_isolated or self in (Role.RESIDUAL_FLUX, Role.CHI2)

    @property
    def unit(self) -> str:
        """Of its values, as a person reads it."""
        return {Role.RESIDUAL: "σ", Role.CHI2: "χ² per pixel"}.get(self, "nJy/pix")


def role_of(view: View, color: bool, in_flux: bool = False) -> Role:
    """Return which layer a view shows; residuals are in units of the noise unless `in_flux`."""
    if view is View.DATA:
        return Role.DATA_COLOR if color else Role.DATA
    if view is View.MODEL:
        return Role.MODEL_COLOR if color else Role.MODEL
    if view is View.ISOLATED:
        return Role.ISOLATED_COLOR if color else Role.ISOLATED
    if view is View.RESIDUAL:
        return Role.RESIDUAL_FLUX if in_flux else Role.RESIDUAL
    return Role.CHI2 if view is View.CHI2 else Role.COMPONENTS


def layer_name(observation: Observation, role: Role) -> str:
    return f"{observation.name} {role.value}"


def look_of(role: Role, levels: Levels) -> dict[str, Any]:
    """Return colormap and limits of a layer that is not in color, for these levels of its observation's light."""
    if role is Role.RESIDUAL:
        return {"colormap": residual_colormap(), "contrast_limits": RESIDUAL_LIMITS}
    if role is Role.CHI2:
        return {"colormap": chi2_colormap(), "contrast_limits": CHI2_LIMITS}
    if role is Role.RESIDUAL_FLUX:
        return {"colormap": residual_flux_colormap(levels.q), "contrast_limits": (-levels.white, levels.white)}
    return {"colormap": asinh_colormap(levels.q), "contrast_limits": (levels.black, levels.white)}


def data_layer_options(observation: Observation, world: World, levels: Levels) -> dict[str, Any]:
    """Return the options of the layer of the data themselves: place, stretch, limits, unit and where it came from."""
    return {
        "name": layer_name(observation, Role.DATA),
        **look_of(Role.DATA, levels),
        "metadata": _metadata(observation, world, "nJy / pix"),
        **world.place(observation.grid, ("band",)),
    }


def layer_options(observation: Observation, role: Role, world: World, visible: bool, levels: Levels) -> dict[str, Any]:
    """Return the options of one of the layers of an observation."""
    if role.is_color:
        options: dict[str, Any] = {
            "rgb": True,
            "metadata": _metadata(observation, world, ""),
            **world.place(observation.grid),
        }
    else:
        options = data_layer_options(observation, world, levels) | look_of(role, levels)
        if role in (Role.RESIDUAL, Role.CHI2):
            options["metadata"] = _metadata(observation, world, "sigma" if role is Role.RESIDUAL else "")
        elif role is Role.COMPONENTS:
            options |= world.place(observation.grid, ("component", "band")) | {"multiscale": False, "rgb": False}
    return options | {"name": layer_name(observation, role), "visible": visible}


def light_range(observation: Observation) -> LightRange:
    return light_of(observation.images, observation.weights)


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
