"""From a scene to slots and back.

`lower_shape` and `lower_spectrum` write what a person said into one slot of a group's arrays; `raise_component` reads
a slot back.
Coordinates turn from (x, y) on the grid, float64, to offsets (y, x) from the middle of the box, float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import GroupData, GroupParameters
from deblend.program.asked import loose, lower_asked, nothing_asked
from deblend.program.aspects import N_ASPECTS
from deblend.program.beliefs import lower_beliefs, no_beliefs
from deblend.program.dust_slots import Sighting, lower_depths
from deblend.program.layout import SIDES, GroupLayout, bucket
from deblend.program.origins import MAX_OFFSET, box_origin
from deblend.program.support import FREE, Painted, support_of
from deblend.program.ties import flux_tie
from deblend.render import KINDS, Kind, kind_of
from deblend.render.learned import FIRST_MODE
from deblend.scene import (
    CHANNEL_OFFSET_SCATTER,
    COLOR_GRADIENT_SCATTER,
    Component,
    ConstraintKind,
    Morphology,
    Parameter,
    Point,
    Source,
)
from deblend.sky import Channel

CORRECTION_REACH = 0.5
"""How far out of its box a profile is corrected: further out the profile alone tells whose light is whose. Without
that limit a bright source takes the light of its neighbours, and hides what no source was placed for."""
POINT_RADIUS = 7
"""The model PSF needs no larger box than this [pix]."""
LEAST_POSITIVE = 1e-6
"""Where the logarithm of a parameter is cut."""


def box_radius(component: Component) -> int:
    """Return the radius of the box that a component is computed in [pix]."""
    return min(component.radius, POINT_RADIUS) if isinstance(component.morphology, Point) else component.radius


def group_key(source: Source, index: int) -> tuple[str, int, bool]:
    """Return the kind and the side of the group that a part of a source belongs to, and whether it is of dust.

    Extended sources do not use the smallest box: a group more costs more than a few masked pixels.
    """
    component = source.parts[index]
    if isinstance(component.morphology, Point):
        return component.morphology.label, bucket(box_radius(component)), False
    return component.morphology.label, bucket(component.radius, least=SIDES[1]), is_dust((source, index))


Part = tuple[Source, int]
"""A source, and which of its parts: its components, and its dust behind them."""


def is_dust(part: Part) -> bool:
    source, index = part
    return index >= len(source.components)


@dataclass
class GroupSlots:
    """The arrays of one group, and which component of which source is in each slot."""

    layout: GroupLayout
    n_channels: int
    n_passbands: int
    dtype: np.dtype
    parameters: GroupParameters = field(init=False)
    data: GroupData = field(init=False)
    n_planes: int = 0
    """Planes of the canvas where a PSF varies; 0 where none does."""
    members: list[Part] = field(default_factory=list)
    painted: list[Painted | None] = field(default_factory=list)
    """What is painted in the box of each member."""

    def __post_init__(self) -> None:
        kind, n, side = self.kind, self.layout.capacity, self.layout.side
        channels, shape = (n, self.n_channels), (n, kind.n_theta)
        tied = self.layout.has_flux_ties

        def zeros(*size: int) -> np.ndarray:
            return np.zeros(size, self.dtype)

        self.parameters = GroupParameters(
            zeros(*shape), zeros(*channels), zeros(n, side, side) if kind.pixels else None, zeros(*channels, N_ASPECTS)
        )
        self.data = GroupData(
            count=np.int32(0),
            origin=np.zeros((n, 2), np.int32),
            radius=np.zeros(n, np.int32),
            pixel_radius=np.zeros(n, np.int32),
            scale=np.ones(n, self.dtype),
            theta_lower=zeros(*shape),
            theta_upper=zeros(*shape),
            theta_free=zeros(*shape),
            theta_mean=zeros(*shape),
            theta_precision=zeros(*shape),
            flux_lower=zeros(*channels),
            flux_upper=zeros(*channels),
            flux_free=zeros(*channels),
            aspect_free=zeros(*channels, N_ASPECTS),
            aspect_precision=zeros(n, N_ASPECTS),
            pixels_free=zeros(n),
            support=np.full((n, side, side), FREE, np.uint8) if kind.pixels else None,
            positivity=zeros(n),
            correction=np.ones(n, self.dtype),
            correction_precision=zeros(n),
            symmetry=zeros(n),
            monotonicity=zeros(n),
            psf_share=zeros(n, self.n_planes) if self.n_planes else None,
            flux_tie=zeros(*channels, self.n_channels) + np.eye(self.n_channels, dtype=self.dtype) if tied else None,
            flux_root=zeros(*channels, self.n_channels) if tied else None,
            unit=-np.ones(channels, self.dtype) if self.layout.is_absorbing else None,
            asked=nothing_asked(n, self.n_channels, self.dtype) if self.layout.is_split else None,
            beliefs=no_beliefs(n, kind.n_theta + self.n_channels, self.dtype) if self.layout.has_beliefs else None,
            tether=loose(kind.pixels is not None, channels, side, self.dtype) if self.layout.is_split else None,
        )

    @property
    def kind(self) -> Kind:
        return KINDS[self.layout.kind]

    def forget(self) -> None:
        """Have all slots written anew the next time: what is known of all sources has changed."""
        self.members, self.painted = [], []

    def fill(
        self,
        members: list[Part],
        shape: tuple[int, int],
        noise: np.ndarray,
        channels: Sequence[Channel],
        share_of: Callable[[Source], Float[np.ndarray, " plane"]],
        dust_of: Callable[[Source], Sighting] | None = None,
        painted_of: Mapping[str, Painted] | None = None,
    ) -> None:
        """Write sources into the slots; a slot that holds the same source already is left alone.

        `noise` is the unit of flux of each channel [nJy]; `share_of` tells how much of a source's light is seen through
        the PSF of each plane; `dust_of`, what is known of its dust; `painted_of`, what is painted in the boxes of
        sources, by their ids.
        """
        known = {} if painted_of is None or self.layout.is_absorbing else painted_of
        painted = [known.get(source.id) for source, _ in members]
        for slot, (source, index) in enumerate(members):
            before, paint = (self.members[slot], self.painted[slot]) if slot < len(self.members) else (None, None)
            if before == (source, index) and paint == painted[slot]:
                continue
            is_new = before is None or before[1] != index or not same_shape(before[0], source, index)
            if is_new:
                lower_shape(self, slot, source, index, shape)
                if self.data.psf_share is not None:
                    self.data.psf_share[slot] = share_of(source)
            if self.layout.is_absorbing and dust_of is not None:
                lower_depths(self, slot, source, dust_of(source))
            else:
                lower_spectrum(self, slot, source.parts[index], noise, channels)
            if self.data.beliefs is not None:
                lower_beliefs(self.data.beliefs, slot, source, index, box_origin(source, shape), noise)
            if self.data.asked is not None:
                lower_asked(self.data.asked, slot, source.parts[index], noise)
            if self.data.support is not None and (is_new or paint != painted[slot]):
                origin = box_origin(source, shape)
                self.data.support[slot] = support_of(self.kind, painted[slot], origin, self.layout.side)
        self.members, self.painted = list(members), painted
        self.data = self.data._replace(count=np.int32(len(members)))


def same_shape(a: Source, b: Source, index: int) -> bool:
    """Whether a component of two sources differs by its spectrum at most, as after fluxes were solved for."""
    if len(a.parts) != len(b.parts):
        return False
    one, other = a.parts[index], b.parts[index]
    return (
        one.morphology is other.morphology
        and one.color_gradients is other.color_gradients
        and one.radius == other.radius
        and a.center is b.center
        and a.channel_offsets is b.channel_offsets
        and (a.anchor, a.center_scatter, a.center_limit, a.track)
        == (b.anchor, b.center_scatter, b.center_limit, b.track)
    )


def lower_spectrum(
    slots: GroupSlots, slot: int, component: Component, noise: np.ndarray, channels: Sequence[Channel]
) -> None:
    """Write the fluxes of a component into a slot."""
    spectrum, data = component.spectrum, slots.data
    flux = np.nan_to_num(spectrum.value) / noise
    if data.flux_tie is not None:
        tie = flux_tie(channels, noise, component.is_variable)
        data.flux_tie[slot], flux = tie, tie @ flux
    if data.flux_root is not None:
        data.flux_root[slot] = 0.0
    slots.parameters.flux[slot] = flux
    lower, upper = spectrum.range
    data.flux_lower[slot], data.flux_upper[slot] = lower / noise, upper / noise
    data.flux_free[slot] = spectrum.is_free & np.array(component.shines_in if component.shines_in else True)


def lower_shape(slots: GroupSlots, slot: int, source: Source, index: int, shape: tuple[int, int]) -> None:
    """Write all of a component but its fluxes into a slot."""
    component = source.parts[index]
    morphology, kind = component.morphology, kind_of(component.morphology)
    data, parameters = slots.data, slots.parameters
    y0, x0 = box_origin(source, shape)
    data.origin[slot] = (y0, x0)
    data.radius[slot] = box_radius(component)
    is_held = kind.is_correction and not kind.is_learned
    data.pixel_radius[slot] = round(CORRECTION_REACH * component.radius) if is_held else component.radius
    data.scale[slot] = getattr(morphology, "scale", 1.0)

    (x, y), anchor = source.center.value, source.anchor
    parameters.theta[slot, :2] = (y - y0, x - x0)
    # a bound that one of several tied centers met would bend their line
    furthest = MAX_OFFSET if source.track is None else np.inf
    data.theta_lower[slot, :2], data.theta_upper[slot, :2] = -furthest, furthest
    data.theta_free[slot, :2] = source.center.is_free
    data.theta_mean[slot, :2] = (anchor[1] - y0, anchor[0] - x0)
    if np.isfinite(source.center_limit):
        # bounds are of each axis: the square within the circle
        room = source.center_limit * np.sqrt(0.5)
        middle = np.array([anchor[1] - y0, anchor[0] - x0])
        data.theta_lower[slot, :2] = np.maximum(middle - room, -furthest)
        data.theta_upper[slot, :2] = np.minimum(middle + room, furthest)
    data.theta_precision[slot, :] = 0.0
    # components share a center, and its prior
    share = np.sqrt(len(source.parts))
    data.theta_precision[slot, :2] = 1.0 / (share * source.center_scatter)
    if source.center.has_priors:
        least, most = (bound[::-1] - (y0, x0) for bound in source.center.range)
        data.theta_lower[slot, :2] = np.maximum(data.theta_lower[slot, :2], least)
        data.theta_upper[slot, :2] = np.minimum(data.theta_upper[slot, :2], most)
        data.theta_precision[slot, :2] *= _without_prior(source.center)[::-1]

    start = 2
    for name, size in kind.parameters:
        parameter = morphology.parameters[name]
        place = slice(start, start + size)
        values: tuple[Any, ...] = (parameter.value, *parameter.range)
        if name in kind.logarithmic:
            values = tuple(np.log(np.maximum(v, LEAST_POSITIVE)) for v in values)
        parameters.theta[slot, place] = values[0]
        data.theta_lower[slot, place], data.theta_upper[slot, place] = values[1], values[2]
        data.theta_free[slot, place] = parameter.is_free
        prior = kind.priors.get(name)
        if name == "amplitudes" and prior is not None:
            # the profile does not change with their sum: choose the one that the prior likes best
            inside = parameter.value > 0
            theta = parameters.theta[slot, place]
            theta += np.mean((prior.mean - theta)[inside])
            theta[~inside] = prior.mean[~inside] + np.log(LEAST_POSITIVE)
            data.theta_free[slot, place] *= inside
            data.theta_lower[slot, place], data.theta_upper[slot, place] = -np.inf, np.inf
        if prior is not None:
            data.theta_mean[slot, place] = prior.mean
            data.theta_precision[slot, place] = 1.0 / prior.scatter
        if parameter.has_priors:
            data.theta_precision[slot, place] *= _without_prior(parameter)
        start += size

    offsets = source.channel_offsets
    gradients = component.color_gradients
    parameters.aspect[slot] = np.column_stack([offsets.value[:, ::-1], gradients.value])
    # one channel cannot tell its offset from the center, nor its gradient from the profile
    data.aspect_free[slot, :, :2] = offsets.is_free and source.center.is_free and slots.n_channels > 1
    data.aspect_free[slot, :, 2] = gradients.is_free and kind.is_correction and slots.n_passbands > 1
    data.aspect_precision[slot] = 1.0 / np.array([share * CHANNEL_OFFSET_SCATTER] * 2 + [COLOR_GRADIENT_SCATTER])

    if kind.pixels and parameters.pixels is not None:
        picture = morphology.parameters[kind.pixels]
        parameters.pixels[slot] = _padded(picture.value, slots.layout.side)
        data.pixels_free[slot] = picture.is_free
    data.positivity[slot] = _strength(component, ConstraintKind.POSITIVITY)
    if kind.is_learned:
        prior_strength = _strength(component, ConstraintKind.LEARNED_PRIOR)
        data.correction[slot], data.correction_precision[slot] = 1.0, prior_strength
        data.theta_mean[slot, FIRST_MODE:], data.theta_precision[slot, FIRST_MODE:] = 0.0, prior_strength
    elif kind.is_correction:
        allowed = _strength(component, ConstraintKind.CORRECTION)
        data.correction[slot], data.correction_precision[slot] = allowed or 1.0, allowed > 0
    data.symmetry[slot] = _strength(component, ConstraintKind.SYMMETRY)
    data.monotonicity[slot] = _strength(component, ConstraintKind.MONOTONICITY)


def raise_component(
    source: Source,
    index: int,
    theta: Float[np.ndarray, " theta"],
    flux: Float[np.ndarray, " channel"],
    pixels: Float[np.ndarray, "side side"] | None,
    aspect: Float[np.ndarray, "channel aspect"],
    shape: tuple[int, int],
    noise: np.ndarray,
    onto: Source,
) -> Source:
    """Return `onto` with the fitted values of one component of a source; what is not free stays as it was."""
    component = source.components[index]
    y0, x0 = box_origin(source, shape)
    theta = np.asarray(theta, np.float64)
    spectrum = component.spectrum
    if spectrum.is_free:
        spectrum = spectrum.at(np.asarray(flux, np.float64) * noise)
    aspect = np.asarray(aspect, np.float64)
    gradients = component.color_gradients
    if gradients.is_free:
        gradients = gradients.at(aspect[:, 2])
    morphology = raised_morphology(component, theta, pixels)
    component = replace(component, morphology=morphology, spectrum=spectrum, color_gradients=gradients)
    components = (*onto.components[:index], component, *onto.components[index + 1 :])
    center = source.center
    if center.is_free:
        center = center.at((x0 + theta[1], y0 + theta[0]))
    offsets = source.channel_offsets
    if offsets.is_free:
        offsets = offsets.at(aspect[:, 1::-1])
    return replace(onto, center=center, channel_offsets=offsets, components=components)


def raised_morphology(
    component: Component, theta: Float[np.ndarray, " theta"], pixels: Float[np.ndarray, "side side"] | None
) -> Morphology:
    """Return the fitted morphology of a component; what is not free stays as it was."""
    morphology, kind = component.morphology, kind_of(component.morphology)
    changed = {}
    start = 2
    for name, size in kind.parameters:
        parameter = morphology.parameters[name]
        value = theta[start] if size == 1 else theta[start : start + size]
        if name in kind.logarithmic:
            value = np.exp(value)
        if name == "amplitudes":
            value = np.where(parameter.value > 0, value, 0.0)
            value = value / value.sum()
        if parameter.is_free:
            changed[name] = parameter.at(value)
        start += size
    if kind.pixels and pixels is not None:
        parameter = morphology.parameters[kind.pixels]
        half, radius = pixels.shape[0] // 2, component.radius
        inner = slice(half - radius, half + radius + 1)
        if parameter.is_free:
            changed[kind.pixels] = parameter.at(pixels[inner, inner])
    result: Morphology = morphology.with_parameters(**changed)
    return result


def _strength(component: Component, kind: ConstraintKind) -> float:
    constraint = component.morphology.constraint(kind)
    return constraint.strength if constraint is not None and constraint.active else 0.0


def _without_prior(parameter: Parameter) -> Float[np.ndarray, " number"]:
    """Return 1 for the numbers of which a person has not said what to believe: these have the usual prior."""
    return np.array([prior is None for prior in parameter.priors], float)


def _padded(picture: np.ndarray, side: int) -> np.ndarray:
    extra = (side - picture.shape[0]) // 2
    return np.pad(picture, extra)
