"""Observations made ready for the machine: noise units, difference kernels and their transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex, Float

from deblend.observe import Observation, full_width_half_maximum
from deblend.observe.kernel import difference_kernel, kernel_radius, transfer, trimmed
from deblend.observe.psf_field import PsfField
from deblend.observe.resampling import ResamplingLayout, plan, spectrum, tables
from deblend.program.arrays import ObservationData
from deblend.program.calibration import response
from deblend.program.calibration_terms import ARCSEC
from deblend.program.columns import ColumnTables, ColumnView, column_fft_shape
from deblend.program.layout import (
    RADIUS_STEP,
    FullSceneLayout,
    GroupLayout,
    Layout,
    ObservationLayout,
    StarLayout,
    aligned_layout,
    roomy,
)
from deblend.program.noise import inverse_noise_power
from deblend.program.observation_layout import (
    affine_covers,
    carried_frequencies,
    framed,
    highest_frequencies,
    is_inside,
    resampled_layout,
)
from deblend.scene import Scene
from deblend.sky import PixelAffine

ALIGNED = 2e-3
"""Pixels of an observation that lie on those of the model to this need no resampling [pix]."""
LEAST_SHARE = 1e-3
"""A cell of the PSF that counts for less anywhere on the image is left out."""
TURN_SLACK = 3
"""How far the corners of an image that turns may go [pix of the model]."""
NEAR = 2
"""Pixels to each side of a place that tell how bright an image is there."""


@dataclass(frozen=True, eq=False)
class PreparedObservation:
    """One observation in units of the noise of its channels, with its kernels."""

    observation: Observation
    layout: ObservationLayout
    affine: PixelAffine
    """From its pixels to those of the model."""
    noise: Float[np.ndarray, " band"]
    """Unit of flux: the median noise of a pixel [nJy]."""
    images: Float[np.ndarray, "band y x"]
    weights: Float[np.ndarray, "band y x"]
    kernels: Float[np.ndarray, "band side side"]
    """On the model's pixels, each of sum 1."""
    highest: tuple[float, float]
    """Frequency along y and x above which they let nothing through [1/pix of the model]."""
    cell_kernels: Float[np.ndarray, "cell band side side"] | None = None
    """The kernels of each cell of its PSF, where that varies; `kernels` are those of the middle of the image."""
    whitening: Float[np.ndarray, "neighbour band y x"] | None = None
    """Of images in these units; None where the noise is white."""
    whole: Observation | None = None
    """The observation before a person has hidden some of its pixels; None where nothing is hidden."""
    hidden: Bool[np.ndarray, "y x"] | None = None
    """Which ones."""
    rotation: float = 0.0
    """How far sources are seen turned off where its WCS says [rad]; `affine` takes it in."""
    _views: dict[int, ColumnView] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of its image [pix]; what is compiled for may be larger."""
        return self.images.shape[1], self.images.shape[2]

    @cached_property
    def ramps(self) -> tuple[Float[np.ndarray, " y"], Float[np.ndarray, " x"]]:
        """-1 to 1 along y, and along x, over the image."""
        up, along = (np.linspace(-1.0, 1.0, n).astype(self.images.dtype) for n in self.shape)
        return up, along

    @cached_property
    def pivot(self) -> Float[np.ndarray, " 3"]:
        """What it turns about, (y, x) [pix of the model], and one over how far its corner lies from there."""
        middle = 0.5 * (np.array(self.shape) - 1.0)
        return np.array([*self.affine(*middle), 1.0 / np.linalg.norm(self.affine.array @ middle)])

    def turned(self, rotation: float) -> PreparedObservation:
        """Return the observation that sees sources turned by an angle [rad], from x towards y; sizes stay."""
        if rotation == self.rotation:
            return self
        # what is seen turned forward shows at each pixel what lies backward
        cosine, sine = np.cos(self.rotation - rotation), np.sin(self.rotation - rotation)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        pivot, affine = self.pivot[:2], self.affine
        offset = pivot + turn @ (np.array(affine.offset) - pivot)
        return replace(self, rotation=rotation, affine=PixelAffine.of(turn @ affine.array, offset))

    def without(self, hidden: Bool[np.ndarray, "y x"] | None) -> PreparedObservation:
        """Return the observation without the pixels that a person has hidden; its unit of flux stays."""
        if hidden is self.hidden:
            return self
        whole = self.observation if self.whole is None else self.whole
        observation = whole if hidden is None else whole.without(hidden)
        scale, dtype = self.noise[:, None, None], self.images.dtype
        whitening = observation.whitening
        return replace(
            self,
            observation=observation,
            whole=None if hidden is None else whole,
            hidden=hidden,
            weights=(observation.weights * scale**2).astype(dtype),
            whitening=None if whitening is None else (whitening * scale).astype(dtype),
        )

    def data(self, groups: Sequence[GroupLayout]) -> ObservationData:
        """Return the arrays of the compiled program."""
        radius, resampling = self.layout.radius, self.layout.resampling
        dtype = self.images.dtype
        # a pixel of its own gathers what falls on `area` of the model's, and there are so many fewer of them
        area = self.affine.area
        power = []
        for group in groups:
            # on a box smaller than the kernel the wings fold back, as they do for the box's own periodic transform
            period = group.side + 1
            times = -(-(2 * radius + 1) // period)
            wide = times * period
            modulus = area * np.abs(transfer(self.kernels, (wide, wide))) ** 2
            modulus = modulus * self._inverse_noise_power(wide, scipy.fft.rfftfreq(wide))
            power.append(modulus[:, ::times, ::times].astype(dtype))
        energy = area * np.sum(self.kernels**2, axis=(1, 2)).astype(dtype)
        if self.whitening is not None:
            n = self.kernels.shape[-1]
            modulus = np.abs(scipy.fft.fft2(self.kernels)) ** 2 * self._inverse_noise_power(n, scipy.fft.fftfreq(n))
            energy = area * np.mean(modulus, axis=(1, 2)).astype(dtype)
        inverse = self.affine.inverse
        if resampling is None:
            shapes = self.layout.fft_shape, self.layout.near.fft_shape
            far, near = (self._of_cells(partial(transfer, shape=shape)) for shape in shapes)
            table = None
        else:
            far = near = self._of_cells(lambda k: self._waves_through(k, resampling))
            table = tables(resampling, self._affine_from(self.layout.corner), dtype)
        up, along = (np.pad(r, (0, n - len(r))) for r, n in zip(self.ramps, self.layout.shape, strict=True))
        return ObservationData(
            images=framed(self.images, self.layout.shape),
            weights=framed(self.weights, self.layout.shape),
            transfer=_as_complex(far, dtype),
            near_transfer=_as_complex(near, dtype),
            power=tuple(power),
            kernel_energy=energy,
            place=np.column_stack([inverse.array, inverse.offset]).astype(dtype),
            tables=table,
            whitening=self.whitening,
            ramps=(up, along),
        )

    def _inverse_noise_power(self, n: int, along_x: np.ndarray) -> Float[np.ndarray, "band ky kx"] | float:
        along_y = scipy.fft.fftfreq(n)[:, None]
        return inverse_noise_power(self.observation.noise_correlation, self.affine, along_y, along_x[None])

    def _affine_from(self, corner: tuple[float, float]) -> PixelAffine:
        """Return the map from its pixels to those of a piece of the model that begins at `corner` (y, x)."""
        return PixelAffine.of(self.affine.array, np.asarray(self.affine.offset) - corner)

    def _of_cells(self, through: Callable[[Any], np.ndarray]) -> np.ndarray:
        """Return what is let through by its kernels, or by those of each cell of its PSF."""
        if self.cell_kernels is None:
            return through(self.kernels)
        return np.stack([through(kernels) for kernels in self.cell_kernels])

    @property
    def psf_variance(self) -> Float[np.ndarray, " band"]:
        """Second moment of its PSF along an axis, as that of a Gaussian of the same full width [pix² of the model]."""
        widths = [full_width_half_maximum(stamp) for stamp in self.observation.psf]
        return (np.array(widths) * self.affine.scale) ** 2 / (8.0 * np.log(2.0))

    def psf_share(self, x: float, y: float) -> Float[np.ndarray, " cell"]:
        """Return how much each cell of its PSF counts for a source at (x, y) of the model's grid."""
        field = self.observation.psf_field
        if field is None or self.layout.n_cells == 1:
            return np.ones(1)
        own_y, own_x = self.affine.inverse(y, x)
        return field.weights_at(float(own_x), float(own_y))

    def brightness_at(self, x: float, y: float) -> Float[np.ndarray, " band"]:
        """Return how bright the image is about (x, y) of the model's grid, per pixel of the model [noise]; 0 beyond."""
        own_y, own_x = (round(float(place)) for place in self.affine.inverse(y, x))
        rows, across = (slice(max(place - NEAR, 0), max(place + NEAR + 1, 0)) for place in (own_y, own_x))
        seen = self.images[:, rows, across]
        light = seen.mean(axis=(1, 2)) if seen.size else np.zeros(len(self.noise))
        return np.asarray(light / self.affine.area)

    def _waves_through(
        self, kernels: Float[np.ndarray, "band side side"], resampling: ResamplingLayout
    ) -> Complex[np.ndarray, "band ky kx"]:
        """Return how much of each wave kernels let through, times the area of its pixels."""
        side = kernels.shape[-1]
        waves = spectrum(resampling, _folded(kernels, resampling.period), np)
        frequency_y = np.arange(resampling.waves[0] + 1) / resampling.period[0]
        frequency_x = np.arange(-resampling.waves[1], resampling.waves[1] + 1) / resampling.period[1]
        centered = np.exp(2j * np.pi * (side // 2) * (frequency_y[:, None] + frequency_x))
        result: Complex[np.ndarray, "band ky kx"] = self.affine.area * waves * centered
        return result

    def column_view(self, side: int) -> ColumnView:
        """Return how it sees one box of this side: what columns are compiled for."""
        if side not in self._views:
            self._views[side] = self._column_view(side)
        return self._views[side]

    def _column_view(self, side: int) -> ColumnView:
        radius = self.layout.radius
        if self.layout.resampling is None:
            shape = (side + 2 * radius,) * 2
            return ColumnView(self.layout.start, self.layout.stop, radius, shape, n_cells=self.layout.n_cells)
        inverse = np.abs(self.affine.inverse.array).sum(axis=1) * (side + 2 * radius)
        height, width = (2 * int(np.ceil(0.5 * n)) + 3 for n in inverse)
        resampling = plan(self.affine, (height, width), (side, side), 2 * radius, self.highest)
        return ColumnView(self.layout.start, self.layout.stop, radius, (height, width), resampling, self.layout.n_cells)

    def column_tables(self, side: int, terms: Float[np.ndarray, "channel 10"] | None = None) -> ColumnTables:
        """Return what columns of boxes of this side are drawn with, where images are off by these terms."""
        dtype, resampling = self.images.dtype, self.column_view(side).resampling
        fft_shape = column_fft_shape(side, self.layout.radius)
        through: Any = 1.0
        if terms is not None:
            through = response(fft_shape, resampling, terms[self.layout.start : self.layout.stop], np)
        if resampling is None:
            return ColumnTables(_as_complex(self._of_cells(lambda k: transfer(k, fft_shape)) * through, dtype))
        # the middle pixel of what is seen lies on the middle of the box, but for a fraction that every source has
        middle = np.array([n // 2 for n in resampling.shape])
        affine = PixelAffine.of(self.affine.array, side // 2 - self.affine.array @ middle)
        far = np.abs(np.array(affine(*np.indices(resampling.shape))) - side // 2).max(axis=0)
        inside = (far <= side // 2 + self.layout.radius).astype(dtype)
        return ColumnTables(
            _as_complex(self._of_cells(lambda k: self._waves_through(k, resampling)) * through, dtype),
            tables(resampling, affine, dtype),
            inside,
        )

    def column_place(self, origin: tuple[int, int], side: int) -> tuple[tuple[int, int], Float[np.ndarray, " 2"]]:
        """Return the pixel (y, x) where what is seen of a box begins, and how far off its middle that lies [pix].

        `origin` is the pixel (y, x) of the model under the middle of the box.
        """
        radius = self.layout.radius
        if self.layout.resampling is None:
            (y0, x0), whole = self.layout.corner, side // 2
            return (origin[0] - whole - y0 - 2 * radius, origin[1] - whole - x0 - 2 * radius), np.zeros(2)
        y, x = np.floor(np.array(self.affine.inverse(*origin)) + 0.5)
        off = np.array(self.affine(y, x)) - origin
        height, width = self.column_view(side).shape
        return (int(y) - height // 2, int(x) - width // 2), off


def _folded(kernels: Float[np.ndarray, "band side side"], period: tuple[int, int]) -> Float[np.ndarray, "band y x"]:
    """Return kernels on a periodic canvas, from its first pixel on; what does not fit comes in on the other side."""
    side = kernels.shape[-1]
    rows, columns = (np.zeros((side, n)) for n in period)
    for onto, n in ((rows, period[0]), (columns, period[1])):
        onto[np.arange(side), np.arange(side) % n] = 1.0
    result: Float[np.ndarray, "band y x"] = rows.T @ kernels @ columns
    return result


def _as_complex(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(np.complex128 if dtype == np.float64 else np.complex64)


def prepare_observations(
    observations: Sequence[Observation], scene: Scene, dtype: np.dtype, reach: int | None = None
) -> tuple[PreparedObservation, ...]:
    """Return the observations in units of the noise; raises ValueError where they do not fit the scene.

    `reach` is the radius of all kernels [pix of the model]; without it each observation has the least that it needs.
    """
    keys = tuple(channel for o in observations for channel in o.channels)
    if keys != scene.channels:
        raise ValueError(
            f"The scene has the channels {', '.join(map(str, scene.channels))}; "
            f"the observations have {', '.join(map(str, keys))}."
        )
    prepared = []
    start = 0
    for observation in observations:
        try:
            affine = observation.grid.affine_to(scene.grid)
        except ValueError as error:
            raise ValueError(f"{observation.name}: {error}") from None
        channels = slice(start, start + len(observation.weights))
        turns = is_turning(scene, channels)
        first = None if turns else affine.whole_offset(ALIGNED)
        if first is not None:
            affine = PixelAffine(offset=(float(first[0]), float(first[1])))
        noise = np.array([1.0 / np.sqrt(np.median(w[w > 0])) for w in observation.weights])
        observation = replace(observation, psf_field=seen_cells(observation))
        kernels = _kernels(observation.psf_samples, observation, scene, affine)
        cells = None
        if observation.psf_field is not None:
            cells = np.stack([_kernels(p, observation, scene, affine) for p in observation.psf_field.stamps])
        stamp = int(np.ceil(observation.psf.shape[-1] // 2 * affine.reach))
        everywhere = kernels if cells is None else np.concatenate([kernels, *cells])
        radius = reach
        if radius is None:
            radius = min(kernel_radius(everywhere), stamp, max(scene.grid.shape))
            radius = -(-radius // RADIUS_STEP) * RADIUS_STEP
        kernels = trimmed(kernels, radius)
        cells = None if cells is None else np.stack([trimmed(k, radius) for k in cells])
        let_through = highest_frequencies(trimmed(everywhere, radius), scene.model_psf_sigma)
        carried = carried_frequencies(affine, observation.psf_oversampling)
        highest = min(let_through[0], carried[0]), min(let_through[1], carried[1])
        stop = start + len(noise)
        if first is not None and is_inside(first, observation.shape, scene.grid.shape):
            layout = aligned_layout(start, stop, observation.shape, radius, first)
        else:
            slack = TURN_SLACK if turns else 0
            layout = resampled_layout(start, stop, observation.shape, affine, radius, scene.grid.shape, highest, slack)
        layout = replace(layout, n_cells=1 if cells is None else len(cells))
        covered = affine_covers(affine, observation.shape, scene.grid.shape)
        if not covered.all():
            # sources live on the grid alone: what lies beyond says nothing of them
            observation = replace(observation, weights=observation.weights * covered)
        scale = noise[:, None, None]
        weights = observation.weights * scale**2
        images = (observation.images / scale).astype(dtype)
        whitening = None
        if observation.whitening is not None:
            layout = replace(layout, is_correlated=True)
            whitening = (observation.whitening * scale).astype(dtype)
        straight = PreparedObservation(
            observation, layout, affine, noise, images, weights.astype(dtype), kernels, highest, cells, whitening
        )
        prepared.append(straight.turned(rotation_of(scene, channels)))
        start = stop
    return tuple(prepared) if reach is not None else _with_room(prepared)


def _with_room(prepared: Sequence[PreparedObservation]) -> tuple[PreparedObservation, ...]:
    """Return observations on the model's pixels as they are compiled for: a little larger than they are, without
    weight there. Whitening reaches over the edge of an image, and pixels of their own have a plan of their own."""
    if not all(p.layout.resampling is None and p.whitening is None for p in prepared):
        return tuple(prepared)
    result = []
    for p in prepared:
        first = p.layout.corner[0] + p.layout.radius, p.layout.corner[1] + p.layout.radius
        shape = roomy(p.shape[0]), roomy(p.shape[1])
        larger = aligned_layout(p.layout.start, p.layout.stop, shape, p.layout.radius, first)
        result.append(replace(p, layout=replace(larger, n_cells=p.layout.n_cells)))
    return tuple(result)


def canvas_for(prepared: Sequence[PreparedObservation], whole: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of the model grid that is compiled for: it holds all that observations have room
    for."""
    ends = [
        [first + p.layout.radius + n for first, n in zip(p.layout.corner, p.layout.shape, strict=True)]
        for p in prepared
        if p.layout.resampling is None
    ]
    height, width = (max(n, *(end[axis] for end in ends)) if ends else n for axis, n in enumerate(whole))
    return height, width


def is_turning(scene: Scene, channels: slice) -> bool:
    """Tell whether any of these channels is turned, or may be."""
    rotations = [c.rotation for c in scene.calibrations[channels]]
    return any(rotation.is_free or rotation.value != 0 for rotation in rotations)


def rotation_of(scene: Scene, channels: slice) -> float:
    """Return how far the channels of an observation are turned [rad]; raises ValueError where they do not turn
    together."""
    angles = {float(c.rotation.value) for c in scene.calibrations[channels]} or {0.0}
    if len(angles) > 1:
        named = ", ".join(map(str, scene.channels[channels]))
        raise ValueError(f"{named} are one observation and turn together; give all of them the same rotation.")
    return angles.pop() * ARCSEC


def _kernels(
    samples: Float[np.ndarray, "band fine fine"], observation: Observation, scene: Scene, affine: PixelAffine
) -> Float[np.ndarray, "band big big"]:
    oversampling = observation.psf_oversampling
    return np.stack([difference_kernel(p, scene.model_psf_sigma, affine, oversampling) for p in samples])


def seen_cells(observation: Observation) -> PsfField | None:
    """Return the PSF's cells that count anywhere on the image; None where a single one does."""
    field = observation.psf_field
    if field is None:
        return None
    height, width = observation.shape
    y, x = np.meshgrid(np.linspace(0, height - 1, 9), np.linspace(0, width - 1, 9), indexing="ij")
    counts = np.flatnonzero(field.weights_at(x, y).max(axis=(0, 1)) > LEAST_SHARE)
    if len(counts) < 2:
        return None
    return PsfField(field.positions[counts], field.stamps[counts], field.oversampling)


def noise_units(prepared: Sequence[PreparedObservation]) -> Float[np.ndarray, " channel"]:
    """Return the unit of flux of every channel of the scene [nJy]."""
    return np.concatenate([p.noise for p in prepared])


def make_layout(
    prepared: Sequence[PreparedObservation],
    groups: Sequence[GroupLayout],
    shape: tuple[int, int],
    is_calibrated: bool = False,
    stars: StarLayout | None = None,
    full_scene: FullSceneLayout | None = None,
    **has: bool,
) -> Layout:
    """Return the static shape of the program; `stars`, `full_scene` and `has` as in `Layout`."""
    layers = {"stars": stars, "full_scene": full_scene}
    return Layout(tuple(groups), tuple(p.layout for p in prepared), shape, is_calibrated, **layers, **has)  # type: ignore[arg-type]
