"""What may be believed of a number, as a person reads it: kinds of priors, their settings, and their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from deblend import Channel, Color, Component, LogNormal, Normal, Parameter, SizeMagnitude, Source, Uniform
from deblend.scene import Prior

NONE = "usual"
"""No prior of a person's: what the kind of source brings along."""
NORMAL, LOG_NORMAL, UNIFORM, SIZE, COLOR = "normal", "log-normal", "uniform", "size – magnitude", "color"
OF_KIND: dict[str, type] = {
    NORMAL: Normal,
    LOG_NORMAL: LogNormal,
    UNIFORM: Uniform,
    SIZE: SizeMagnitude,
    COLOR: Color,
}
SHARE = 0.2
"""Width of a new prior, of the number that it is of."""
FAINTEST = 1e-3
TYPICAL_MAGNITUDE, TYPICAL_COLOR = 24.0, 0.5
"""Where a source has no flux yet."""
SETTINGS: dict[str, dict[str, tuple[str, str]]] = {
    NORMAL: {"mean": ("mean", ""), "deviation": ("±", "Standard deviation")},
    LOG_NORMAL: {"median": ("median", ""), "deviation": ("± ln", "Standard deviation of the logarithm: 0.1 is 10 %")},
    UNIFORM: {"lower": ("from", ""), "upper": ("to", "")},
    SIZE: {
        "size": ("size", "Half-light radius expected at that magnitude [px]"),
        "magnitude": ("at mag", "AB magnitude"),
        "channel": ("in", "Band of the magnitude"),
        "slope": ("slope", "Change of log10 of the size with magnitude [dex/mag]"),
        "deviation": ("± dex", "Standard deviation of log10 of the size [dex]"),
    },
    COLOR: {
        "other": ("minus", "The band whose magnitude is taken off"),
        "mean": ("mag", "Expected difference of magnitudes"),
        "deviation": ("±", "Standard deviation [mag]"),
    },
}
"""Of every kind: its fields, with what they are called, and what they mean."""
CHANNEL_FIELDS = "channel", "other"


@dataclass(frozen=True)
class PriorPlace:
    """Where the prior of one number is in a source, and which kinds it may be."""

    kinds: tuple[str, ...]
    get: Callable[[Source], Prior | None]
    put: Callable[[Source, Prior | None], Source]
    channel: int | None = None
    """Of a flux."""


def prior_place(
    get: Callable[[Source], Parameter],
    put: Callable[[Source, Parameter], Source],
    index: int,
    kinds: tuple[str, ...],
    channel: int | None = None,
) -> PriorPlace:
    """Return the place of the prior of one number of a parameter."""
    return PriorPlace(
        kinds, lambda s: get(s).prior(index), lambda s, prior: put(s, get(s).believed(prior, index)), channel
    )


def shape_kinds(name: str) -> tuple[str, ...]:
    """Return which priors a number of a morphology may have; none where it takes none."""
    if name in ("amplitudes", "modes", "size_class"):
        return ()
    return (NORMAL, LOG_NORMAL, UNIFORM, *((SIZE,) if name == "half_light_radius" else ()))


def flux_kinds(n_channels: int) -> tuple[str, ...]:
    """Return which priors a flux may have."""
    return (NORMAL, LOG_NORMAL, UNIFORM, *((COLOR,) if n_channels > 1 else ()))


def law_prior(part: int, name: str) -> PriorPlace:
    """Return the place of the prior of a number of a law, which is a Gaussian."""

    def get(source: Source) -> Prior | None:
        law = source.components[part].law
        return None if law is None else law.priors.get(name)

    def put(source: Source, prior: Prior | None) -> Source:
        component = source.components[part]
        assert component.law is not None
        others = {key: value for key, value in component.law.priors.items() if key != name}
        if isinstance(prior, Normal):
            others[name] = prior
        component = replace(component, law=replace(component.law, priors=others))
        return replace(source, components=(*source.components[:part], component, *source.components[part + 1 :]))

    return PriorPlace((NORMAL,), get, put)


def kind_of(prior: Prior | None) -> str:
    """Return what the kind of a prior is called."""
    return next((name for name, kind in OF_KIND.items() if isinstance(prior, kind)), NONE)


def new_prior(kind: str, value: float, place: PriorPlace, component: Component) -> Prior | None:
    """Return a prior of a kind around the present value of a number."""
    value = value if np.isfinite(value) else 0.0
    width = SHARE * abs(value) or 1.0
    if kind == NORMAL:
        return Normal(_short(value), _short(width))
    if kind == LOG_NORMAL:
        return LogNormal(_short(max(value, FAINTEST)), SHARE)
    if kind == UNIFORM:
        return Uniform(_short(value - 2.0 * width) if value <= 0 else _short(0.5 * value), _short(value + 2.0 * width))
    if kind == SIZE:
        return SizeMagnitude(_short(max(value, FAINTEST)), round(_magnitude(component, 0, TYPICAL_MAGNITUDE), 1))
    if kind == COLOR and place.channel is not None:
        n = len(component.spectrum.value)
        other = place.channel + 1 if place.channel + 1 < n else place.channel - 1
        bluer, redder = (_magnitude(component, k, np.nan) for k in (place.channel, other))
        return Color(other, round(bluer - redder, 2) if np.isfinite(bluer - redder) else TYPICAL_COLOR, 0.1)
    return None


def changed(prior: Prior, name: str, value: float) -> Prior:
    """Return a prior with another setting; raises ValueError with a sentence where it cannot be."""
    number: Any = int(value) if name in CHANNEL_FIELDS else float(value)
    if isinstance(prior, Normal):
        if name == "deviation" and not number > 0:
            raise ValueError(f"The standard deviation of a normal prior is above 0, got {number:g}.")
        return prior._replace(**{name: number})
    return replace(prior, **{name: number})


def settings_of(prior: Prior) -> dict[str, float]:
    """Return the settings of a prior by their names, in the order in which they are shown."""
    names = prior._fields if isinstance(prior, Normal) else tuple(f.name for f in fields(prior))
    order = [name for name in SETTINGS[kind_of(prior)] if name in names]
    return {name: getattr(prior, name) for name in order}


def text_of(prior: Prior | None, channels: Sequence[Channel]) -> str:
    """Return a prior in a few characters."""
    if isinstance(prior, Normal):
        return f"{prior.mean:.3g} ± {prior.deviation:.2g}"
    if isinstance(prior, LogNormal):
        return f"{prior.median:.3g} ± {100 * prior.deviation:.2g} %"
    if isinstance(prior, Uniform):
        return f"{prior.lower:.3g} … {prior.upper:.3g}"
    if isinstance(prior, SizeMagnitude):
        return f"r({_name(prior.channel, channels)}) ± {prior.deviation:.2g} dex"
    if isinstance(prior, Color):
        return f"− {_name(prior.other, channels)}: {prior.mean:.2g} ± {prior.deviation:.2g}"
    return NONE


def _name(channel: int, channels: Sequence[Channel]) -> str:
    return channels[channel].name if channel < len(channels) else str(channel)


def _magnitude(component: Component, channel: int, unknown: float) -> float:
    flux = float(component.spectrum.value[channel])
    return 31.4 - 2.5 * float(np.log10(flux)) if flux > 0 else unknown


def _short(value: float) -> float:
    return float(f"{value:.3g}")
