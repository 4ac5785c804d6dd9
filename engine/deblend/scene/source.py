"""Sources and components: what a person places on the sky."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from deblend.scene.area import Area
from deblend.scene.dust import Dust
from deblend.scene.law import Law
from deblend.scene.morphologies import start_morphology
from deblend.scene.morphology import Morphology, Point
from deblend.scene.parameter import Parameter, Status
from deblend.scene.profiles import DeVaucouleurs, Exponential
from deblend.scene.track import TRACK_SCATTER, Track, epochs_of, new_track_id, only_in
from deblend.sky import Channel

BULGE_AND_DISK = "bulge + disk"
DEFAULT_RADIUS = 15
"""Half the side of a source's box where nothing better is known [pix]."""
CENTER_SCATTER = 0.3
"""How far a placed center is believed to be off, per axis [pix] (rms of a person's or a catalog's peak)."""
COLOR_GRADIENT_SCATTER = 0.1
"""How much faster or slower than the mean, as a power of the radius, a channel's light is believed to fall off."""
CHANNEL_OFFSET_SCATTER = 0.1
"""How far a channel is believed to see a source off its center, per axis [pix]."""


@dataclass(frozen=True, eq=False)
class Component:
    """One spectrum times one morphology."""

    morphology: Morphology
    spectrum: Parameter
    """Flux per channel of the scene [nJy]; NaN where it has never been solved for."""
    radius: int = DEFAULT_RADIUS
    """Half the side of the box that holds the morphology [pix]."""
    is_variable: bool = False
    """Whether it has a flux of its own at every epoch; otherwise those of one passband are the same."""
    shines_in: tuple[bool, ...] | None = None
    """In which channels it may have light; None for all."""
    law: Law | None = None
    """What its spectrum follows: fluxes are then what the law gives times an amplitude, or one for each epoch where it
    is variable. With a spectrum that is fixed, nothing of it is fitted."""
    color_gradients: Parameter = None  # type: ignore[assignment]
    """d ln f / d ln r of each channel's light, relative to the morphology, (channel,). They have a prior around zero,
    leave fluxes alone, and are fitted for galaxies."""
    is_box_held: bool = False
    """Whether a person gave the box its size: then a fit leaves it."""

    def __post_init__(self) -> None:
        if self.color_gradients is None:
            object.__setattr__(self, "color_gradients", Parameter(np.zeros(len(self.spectrum.value))))
        if self.radius < 1:
            raise ValueError(f"A box needs a radius of at least 1 pixel, got {self.radius}.")

    @property
    def is_solved(self) -> bool:
        """Whether every channel has a flux."""
        return bool(np.all(np.isfinite(self.spectrum.value)))

    def resized(self, radius: int) -> Component:
        return replace(self, radius=radius, morphology=self.morphology.resized(radius))


@dataclass(frozen=True, eq=False)
class Source:
    """An object on the sky: a center and one or more components that share it."""

    center: Parameter
    """(x, y), 0-based [pix of the scene's grid]."""
    components: tuple[Component, ...]
    anchor: tuple[float, float]
    """(x, y) where a person, a catalog or the detection put it [pix]; the prior of the center is around it."""
    center_scatter: float = CENTER_SCATTER
    """Standard deviation of that prior per axis [pix]; infinite for none."""
    center_limit: float = np.inf
    """The center stays within this distance of the anchor, whatever the data say [pix]; infinite for no limit."""
    channel_offsets: Parameter = None  # type: ignore[assignment]
    """How far each channel sees the source off its center, (channel, 2) as (x, y) [pix]: what is left of registration,
    atmospheric dispersion and color gradients. They have a prior around zero and are held where the center is."""
    host: str | None = None
    """The id of the source that it belongs to, as a supernova to its galaxy: it goes where that goes."""
    group: str = ""
    """The name of the group that a person has put it into; empty for none."""
    track: Track | None = None
    """The moving thing that it is one epoch of; None for what stands still."""
    dust: Dust | None = None
    """What dims the light of its components, whose fluxes are those without it."""
    barred: Area | None = None
    """Where it has no light, as a person has painted it; None for no such place. It is asked of components with pixels,
    whose light is cut there."""
    claimed: Area | None = None
    """What belongs to it: there no other source has free light, and its own corrections are held loosely. Pixels that
    several sources claim are shared by these."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Never changes, whatever is done to the source."""
    name: str = ""

    def __post_init__(self) -> None:
        if self.channel_offsets is None:
            zeros = np.zeros((len(self.components[0].spectrum.value), 2))
            object.__setattr__(self, "channel_offsets", Parameter(zeros))
        if self.dust is not None:
            _check_dust(self.dust, len(self.components), len(self.components[0].spectrum.value))
        if not self.center_limit > 0:
            raise ValueError(f"A center needs room: its limit is above 0 px, got {self.center_limit:g}.")

    @property
    def x(self) -> float:
        return float(self.center.value[0])

    @property
    def y(self) -> float:
        return float(self.center.value[1])

    @property
    def kind(self) -> str:
        """What a person calls it: the labels of its components' morphologies."""
        return " + ".join(component.morphology.label for component in self.components)

    @cached_property
    def parts(self) -> tuple[Component, ...]:
        """All that has a morphology: the components, and behind them the dust, with total optical depths for fluxes."""
        if self.dust is None:
            return self.components
        n_channels = len(self.components[0].spectrum.value)
        total = replace(self.dust.total, value=np.broadcast_to(self.dust.total.value, n_channels))
        flat = Parameter(np.zeros(n_channels), Status.FIXED)
        return (*self.components, Component(self.dust.morphology, total, self.dust.radius, color_gradients=flat))

    def dimmed(self, dust: Dust | None) -> Source:
        """Return the source behind a layer of dust, or without one; raises ValueError where that does not fit it."""
        return replace(self, dust=dust)

    def is_dimmed(self, index: int) -> bool:
        """Tell whether a component is behind dust."""
        return self.dust is not None and index < len(self.components) and self.dust.dims(index)

    @property
    def flux(self) -> np.ndarray:
        """Flux per channel, summed over components [nJy]."""
        return np.sum([c.spectrum.value for c in self.components], axis=0)

    @property
    def radius(self) -> int:
        """Half the side of its largest box [pix]."""
        return max(c.radius for c in self.components)

    @property
    def can_be_barred(self) -> bool:
        """Whether any of its components has pixels, which can be dark where a person wants them to be."""
        return any(component.morphology.has_pixels for component in self.components)

    def moved(self, x: float, y: float) -> Source:
        """Return the source where a person dragged it; raises LockedParameterError where it is locked."""
        center = self.center.edited((x, y))
        return replace(self, center=center, anchor=(float(center.value[0]), float(center.value[1])))

    def renamed(self, name: str) -> Source:
        return replace(self, name=name)

    def resized(self, radius: int) -> Source:
        """Return the source with boxes of another radius [pix], which a fit then leaves as they are."""
        dust = None if self.dust is None else self.dust.resized(radius)
        held = tuple(replace(c.resized(radius), is_box_held=True) for c in self.components)
        return replace(self, components=held, dust=dust)

    def with_status(self, status: Status) -> Source:
        """Return the source with every parameter free, fixed or locked."""
        components = tuple(
            replace(
                c,
                spectrum=c.spectrum.with_status(status),
                law=None if c.law is None else c.law.with_status(status),
                color_gradients=c.color_gradients.with_status(status),
                morphology=c.morphology.with_parameters(
                    **{name: p.with_status(status) for name, p in c.morphology.parameters.items()}
                ),
            )
            for c in self.components
        )
        return replace(
            self,
            center=self.center.with_status(status),
            channel_offsets=self.channel_offsets.with_status(status),
            components=components,
            dust=None if self.dust is None else self.dust.with_status(status),
        )

    def varying(self, is_variable: bool = True) -> Source:
        """Return the source with a flux of its own at every epoch, or with constant ones."""
        return replace(self, components=tuple(replace(c, is_variable=is_variable) for c in self.components))

    def following(self, law: Law | None) -> Source:
        """Return the source with a spectrum that follows a law, or one that is free in every channel."""
        return replace(self, components=tuple(replace(c, law=law) for c in self.components))

    @property
    def law(self) -> Law | None:
        """The law of its spectrum, or of its first."""
        return self.components[0].law

    def shining_in(self, channels: Sequence[bool] | np.ndarray) -> Source:
        """Return the source with light in these channels only, a flag each, as a transient that is not there yet."""
        lit = tuple(map(bool, channels))

        def darkened(component: Component) -> Component:
            flux = np.where(lit, component.spectrum.value, 0.0)
            return replace(component, shines_in=lit, spectrum=component.spectrum.at(flux))

        if len(lit) != len(self.components[0].spectrum.value):
            raise ValueError(f"A flag per channel is needed: {len(self.components[0].spectrum.value)}, got {len(lit)}.")
        return replace(self, components=tuple(map(darkened, self.components)))

    @property
    def is_variable(self) -> bool:
        return any(c.is_variable for c in self.components)

    @property
    def is_locked(self) -> bool:
        return self.center.status is Status.LOCKED

    def retyped(self, kind: str) -> Source:
        """Return the source with another morphology of about its size; position, fluxes and box stay."""
        old = self.components[0]
        morphology = start_morphology(kind, old.morphology.half_light_radius_guess or 2.0, old.radius)
        flux = old.spectrum.at(self.flux)
        component = Component(morphology, flux, old.radius, old.is_variable, old.shines_in, old.law)
        dust = None if self.dust is None else replace(self.dust, behind=None)
        return replace(self, components=(component,), dust=dust)


def _check_dust(dust: Dust, n_components: int, n_channels: int) -> None:
    """Raise ValueError for dust in front of components that there are not, or of other channels."""
    if dust.behind is not None and not all(0 <= index < n_components for index in dust.behind):
        raise ValueError(f"Dust in front of components {dust.behind} needs as many; the source has {n_components}.")
    if dust.total.value.ndim and len(dust.total.value) != n_channels:
        raise ValueError(f"Dust needs an optical depth per channel: {n_channels}, got {len(dust.total.value)}.")


def start_components(
    kind: str,
    half_light_radius: float,
    radius: int,
    *,
    n_channels: int,
    bulge_fraction: float | Sequence[float] = 0.3,
    flux: Sequence[float] | np.ndarray | None = None,
) -> tuple[Component, ...]:
    """Return round components of a source of several, each with a spectrum of its own.

    Parameters
    ----------
    kind
        "bulge + disk": a de Vaucouleurs profile, half as large as the exponential one that follows it.
    half_light_radius
        Of the disk [pix].
    radius
        Of both boxes [pix].
    bulge_fraction
        Share of the flux that is the bulge's, one number or one per channel.
    flux
        Of both together [nJy per channel]; without it, both are to be solved for.

    Raises
    ------
    ValueError
        Where there is no such kind, or a fraction is not between 0 and 1.
    """
    if kind != BULGE_AND_DISK:
        raise ValueError(f"There is no source of several components {kind!r}; the one there is is {BULGE_AND_DISK!r}.")
    share = np.broadcast_to(np.asarray(bulge_fraction, float), (n_channels,))
    if not np.all((share >= 0) & (share <= 1)):
        raise ValueError(f"A bulge's fraction of the flux lies between 0 and 1, got {bulge_fraction}.")
    total = np.full(n_channels, np.nan) if flux is None else np.asarray(flux, float)
    parts = ((DeVaucouleurs.label, 0.5, share), (Exponential.label, 1.0, 1.0 - share))
    return tuple(
        Component(start_morphology(label, size * half_light_radius, radius), Parameter(total * part, lower=0.0), radius)
        for label, size, part in parts
    )


def make_source(
    kind: str,
    x: float,
    y: float,
    *,
    n_channels: int,
    flux: Sequence[float] | np.ndarray | None = None,
    half_light_radius: float = 2.0,
    radius: int = DEFAULT_RADIUS,
    scale: float = 1.0,
    law: Law | None = None,
    **fields: Any,
) -> Source:
    """Return a source of the kind named by `label` at pixel (x, y), with one component.

    Without `flux` [nJy per channel] the fluxes are solved for, jointly with those of all other sources, before
    the first picture. With a `law` they are what it gives times one amplitude.
    """
    spectrum = np.full(n_channels, np.nan) if flux is None else np.asarray(flux, float)
    if spectrum.shape != (n_channels,):
        raise ValueError(f"A flux per channel is needed: expected {n_channels} numbers, got {spectrum.shape}.")
    component = Component(
        start_morphology(kind, half_light_radius, radius, scale), Parameter(spectrum, lower=0.0), radius, law=law
    )
    return Source(Parameter(np.array([x, y])), (component,), (float(x), float(y)), **fields)


def moving_sources(
    channels: Sequence[Channel],
    x: float,
    y: float,
    velocity: tuple[float, float] = (0.0, 0.0),
    *,
    time: float | None = None,
    name: str = "moving",
    scatter: float = TRACK_SCATTER,
) -> tuple[Source, ...]:
    """Return a star that moves in a straight line, as one source per epoch with a flux of its own.

    Parameters
    ----------
    channels
        Those of the scene; each needs an epoch.
    x, y
        Where it was seen, or is expected, at `time` [pix of the scene], by default at the first epoch.
    velocity
        How fast it is expected to move along x and y [pix/day].
    time
        [MJD]
    scatter
        Standard deviation of the prior of each place, per axis [pix].

    Raises
    ------
    ValueError
        Where a channel has no epoch, or all have the same.
    """
    epochs = epochs_of(channels)
    start = next(iter(epochs)) if time is None else time
    track_id = new_track_id()
    result = []
    for when, shining in epochs.items():
        place = (x + velocity[0] * (when - start), y + velocity[1] * (when - start))
        spectrum = only_in(len(channels), shining)
        lit = tuple(index in shining for index in range(len(channels)))
        component = Component(Point(), spectrum, DEFAULT_RADIUS, is_variable=True, shines_in=lit)
        center = Parameter(np.array(place))
        track = Track(track_id, when, is_placed=when == start)
        result.append(
            Source(center, (component,), place, scatter, track=track, name=f"{name} {channels[shining[0]].epoch}")
        )
    return tuple(result)
