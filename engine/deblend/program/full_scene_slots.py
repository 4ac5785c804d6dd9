"""From light that covers the whole scene to the arrays of its layer, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.program.arrays import FullSceneData, FullSceneParameters, Parameters, ProblemData
from deblend.program.calibration import calibrated
from deblend.program.columns import Column
from deblend.program.compiled import compiled
from deblend.program.convolution import observe
from deblend.program.full_scene_layer import pictures_on, roughness
from deblend.program.layout import FullSceneLayout, Layout
from deblend.program.noise import inverse_noise_power
from deblend.program.problem import PreparedObservation
from deblend.program.ties import flux_basis
from deblend.scene import FullScene, Scene
from deblend.scene.full_scene import MOST_COEFFICIENTS, splines

ROOMS = (8, 12, 16, 24, MOST_COEFFICIENTS)
"""How many coefficients an axis is compiled for."""
FIRST_CAPACITY = 2


class FullSceneSlots:
    """All that is worked out once for the light that covers a scene: its B-splines, and what their prior asks."""

    def __init__(
        self,
        scene: Scene,
        layout: Layout,
        prepared: Sequence[PreparedObservation],
        noise: Float[np.ndarray, " channel"],
        dtype: np.dtype,
        room: FullSceneLayout | None,
    ) -> None:
        """Lower the components of a scene, into a layer with at least the room that there was."""
        self._prepared, self._noise, self._dtype, self._shape = prepared, noise, dtype, scene.grid.shape
        self._said = _said(scene)
        sizes = [each.coefficients.shape for each in scene.full_scenes]
        had = (0, 0, 0) if room is None else (room.capacity, room.rows, room.columns)
        capacity = max(FIRST_CAPACITY, had[0])
        while capacity < len(sizes):
            capacity *= 2
        rows, columns = (_room(max((size[axis] for size in sizes), default=0), had[1 + axis]) for axis in (0, 1))
        self.layout = FullSceneLayout(capacity, rows, columns)
        basis = flux_basis(scene.channels, noise, False)
        # one unit of a passband's flux is as much light, in units of the noise, as one of a channel's
        self.spectra = basis / np.linalg.norm(basis, axis=1, keepdims=True)
        self._data = self._lowered(scene, layout)
        # the sum of each spline on the grid of the scene, not on the sky around it
        pad = layout.pad
        along = self._data.along_y, self._data.along_x
        self._sums = [a[:, pad : pad + n].sum(axis=1) for a, n in zip(along, self._shape, strict=True)]

    def fits(self, scene: Scene, layout: Layout, prepared: Sequence[PreparedObservation]) -> bool:
        """Whether it is for as many coefficients, asked alike and seen by the same observations."""
        return prepared is self._prepared and _said(scene) == self._said and layout.pad == self._pad

    def numbers(self, full_scenes: Sequence[FullScene]) -> FullSceneParameters:
        """Return the light of a scene as the layer has it."""
        n_passbands = len(self.spectra)
        spectrum = np.full((self.layout.capacity, n_passbands), n_passbands**-0.5, self._dtype)
        coefficients = np.zeros((self.layout.capacity, self.layout.rows, self.layout.columns), self._dtype)
        for k, each in enumerate(full_scenes):
            flux = (np.nan_to_num(each.spectrum) / self._noise) @ self.spectra.T
            size = float(np.linalg.norm(flux))
            if size > 0:
                spectrum[k] = flux / size
            rows, columns = each.coefficients.shape
            coefficients[k, :rows, :columns] = each.coefficients * size
        return FullSceneParameters(spectrum, coefficients)

    def raised(self, full_scenes: Sequence[FullScene], numbers: FullSceneParameters) -> tuple[FullScene, ...]:
        """Return the light of a scene with fitted values."""
        result = []
        for k, (each, flux, total) in enumerate(zip(full_scenes, *self._light(numbers), strict=False)):
            if each.is_fixed:
                result.append(each)
                continue
            rows, columns = each.coefficients.shape
            raw = np.maximum(np.asarray(numbers.coefficients[k, :rows, :columns], np.float64), 0.0)
            # where there is no light left, its picture stays
            picture = raw / total if total > 0 else each.coefficients
            result.append(replace(each, coefficients=picture, spectrum=flux * max(total, 0.0)))
        return tuple(result)

    def flux_change(
        self, numbers: FullSceneParameters, change: FullSceneParameters
    ) -> Float[np.ndarray, "component channel"]:
        """Return how the light on the grid changes with a change of the parameters [nJy]."""
        flux, total = self._light(numbers)
        spectrum, moved = (np.asarray(part.spectrum, np.float64) for part in (numbers, change))
        size = np.linalg.norm(spectrum, axis=1, keepdims=True)
        along = spectrum / size
        turned = (moved - along * np.sum(along * moved, axis=1, keepdims=True)) / size
        more = np.einsum("krc,kr,kc->k", np.asarray(change.coefficients, np.float64), *self._sums)
        result: np.ndarray = flux * more[:, None] + total[:, None] * (turned @ self.spectra) * self._noise
        return result[: len(self._said[0])]

    def data(self) -> FullSceneData:
        """Return the arrays of the compiled program."""
        return self._data

    def _light(self, numbers: FullSceneParameters) -> tuple[np.ndarray, np.ndarray]:
        """Return the spectrum of each component per unit of light [nJy], and how much there is on the grid."""
        spectrum = np.asarray(numbers.spectrum, np.float64)
        unit = spectrum / np.linalg.norm(spectrum, axis=1, keepdims=True)
        total = np.einsum("krc,kr,kc->k", np.asarray(numbers.coefficients, np.float64), *self._sums)
        return unit @ self.spectra * self._noise, total

    def _lowered(self, scene: Scene, layout: Layout) -> FullSceneData:
        room, dtype = self.layout, self._dtype
        self._pad = layout.pad
        along = [
            np.zeros((room.capacity, n, count), dtype)
            for n, count in zip(layout.canvas_shape, (room.rows, room.columns), strict=True)
        ]
        used = np.zeros((room.capacity, room.rows, room.columns), dtype)
        free = np.zeros((room.capacity, 1, 1), dtype)
        precision = np.zeros(room.capacity, dtype)
        for k, each in enumerate(scene.full_scenes):
            for values, count, n, side in zip(
                along, each.coefficients.shape, self._shape, layout.canvas_shape, strict=True
            ):
                values[k, :, :count] = splines(count, n, np.arange(side) - layout.pad)
            used[k, : each.coefficients.shape[0], : each.coefficients.shape[1]] = 1.0
            free[k] = not each.is_fixed
            precision[k] = 1.0 / each.roughness
        return FullSceneData(
            along_y=along[0],
            along_x=along[1],
            spectra=self.spectra.astype(dtype),
            share=self._share(),
            spectrum_free=np.repeat(free[:, 0] * (used[:, :1, 0] > 0), len(self.spectra), axis=1).astype(dtype),
            coefficients_free=used * free,
            used=used,
            precision=precision,
            stiffness=stiffness(used, precision).astype(dtype),
            weights=self._weights(layout).astype(dtype),
        )

    def _share(self) -> Float[np.ndarray, " plane"]:
        """Return how much of the light is seen through the PSF of each plane of the canvas.

        Light that is smooth looks the same through any PSF: that of the middle of the scene does.
        """
        y, x = 0.5 * (np.array(self._shape) - 1.0)
        shares = [np.repeat(p.psf_share(float(x), float(y)), len(p.noise)) for p in self._prepared]
        return np.concatenate(shares).astype(self._dtype)

    def _weights(self, layout: Layout) -> Float[np.ndarray, "channel y x"]:
        """Return about the weights of smooth light on the pixels of the canvas: those of the pixels that see it."""
        height, width = self._shape
        result = np.zeros((len(self._noise), *layout.canvas_shape))
        inner = slice(layout.pad, layout.pad + height), slice(layout.pad, layout.pad + width)
        for p in self._prepared:
            rows, columns = (np.rint(axis).astype(int) for axis in p.affine.inverse(*np.indices(self._shape)))
            inside = (rows >= 0) & (rows < p.shape[0]) & (columns >= 0) & (columns < p.shape[1])
            seen = p.weights[:, np.where(inside, rows, 0), np.where(inside, columns, 0)] * inside
            zero = np.zeros((1, 1))
            power = inverse_noise_power(p.observation.noise_correlation, p.affine, zero, zero)
            # a pixel of its own gathers what falls on `area` of the model's, and there are so many fewer of them
            result[p.layout.start : p.layout.stop, *inner] = p.affine.area * seen * power
        return result


def stiffness(
    used: Float[np.ndarray, "component row column"], precision: Float[np.ndarray, " component"]
) -> Float[np.ndarray, "component n n"]:
    """Return Jᵀ J of the prior on roughness, for all coefficients of each component."""
    n_components, rows, columns = used.shape
    n = rows * columns
    units = np.eye(n).reshape(n, rows, columns)
    result = np.zeros((n_components, n, n))
    for k in np.flatnonzero(precision > 0):
        ones = np.full(n, precision[k])
        residuals = roughness(units, np.broadcast_to(used[k], units.shape), ones, np)
        for residual in residuals:
            flat = residual.reshape(n, n)
            result[k] += flat @ flat.T
    return result


def full_scene_columns(
    layout: Layout, data: ProblemData, parameters: Parameters
) -> tuple[Float[Array, "component band y x"], ...]:
    """Return the light of every component, of spectrum 1 in all channels, as every observation sees it."""
    if data.full_scene is None or parameters.full_scene is None:
        return ()
    seen, share = calibrated(layout, data, parameters), data.full_scene.share
    pictures = pictures_on(layout, data.full_scene, parameters.full_scene.coefficients)

    def one(picture: Any) -> tuple[Any, ...]:
        return observe(layout, seen, jnp.broadcast_to(picture, (len(share), *picture.shape)) * share[:, None, None])

    result: tuple[Float[Array, "component band y x"], ...] = lax.map(one, pictures)
    return result


compiled_full_scene_columns = compiled(full_scene_columns)


def drawn(
    layout: Layout,
    data: ProblemData,
    parameters: Parameters,
    full_scenes: Sequence[FullScene],
    shapes: Sequence[tuple[int, int]],
) -> list[tuple[Column, ...]]:
    """Return each component per unit flux, as every observation, of these shapes, sees it."""
    if data.full_scene is None or not full_scenes:
        return []
    numbers = np.zeros(data.full_scene.used.shape, data.full_scene.used.dtype)
    for k, each in enumerate(full_scenes):
        rows, columns = each.coefficients.shape
        numbers[k, :rows, :columns] = each.coefficients
    spectrum = np.ones(data.full_scene.spectrum_free.shape, numbers.dtype)
    # what sources there are does not matter: the code is the same for all
    alone = replace(
        layout, groups=(), is_calibrated=parameters.calibration is not None, has_ties=False, has_links=False, stars=None
    )
    bare = tuple(o._replace(power=()) for o in data.observations)
    data = ProblemData((), bare, data.psf_variance, full_scene=data.full_scene)
    light = Parameters((), parameters.calibration, full_scene=FullSceneParameters(spectrum, numbers))
    stacks = compiled_full_scene_columns(alone, data, light)
    seen = [np.asarray(stack)[..., :h, :w] for stack, (h, w) in zip(stacks, shapes, strict=True)]
    return [tuple(Column(stack[k], 0, 0) for stack in seen) for k in range(len(full_scenes))]


def _said(scene: Scene) -> tuple[tuple[Any, ...], ...]:
    """Return what the arrays of the layer depend on."""
    names = tuple(each.name for each in scene.full_scenes)
    return names, tuple((e.coefficients.shape, e.roughness, e.is_fixed) for e in scene.full_scenes), scene.grid.shape


def _room(count: int, had: int) -> int:
    return next(room for room in ROOMS if room >= max(count, had))
