"""Every number of a source as a line that a person can read and change, made from its typed description.

What is a parameter of a morphology or of a law becomes a line by itself, whatever its kind. An ellipticity is shown as
axis ratio and position angle, and a size also where none is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from deblend import Channel, Component, Dust, Parameter, Source, Status
from deblend.program.layout import SIDES
from deblend.scene import axis_ratio, ellipticity_of, major_angle, start_morphology
from napari_deblend.prior_lines import PriorPlace, flux_kinds, law_prior, prior_place, shape_kinds

LARGEST_BOX = SIDES[-1] // 2
"""[pix]"""
UNITS = {
    "half_light_radius": "px",
    "wavelength": "Å",
    "width": "Å",
    "temperature": "K",
}
"""Of parameters by their names; the others are pure numbers."""
LABELS = {"index": "index n", "beta": "index β", "half_light_radius": "half-light radius"}
WIDEST = {"half_light_radius": (0.01, 1000.0)}
"""What can be drawn, where that is more than what a fit is usually allowed."""


@dataclass(frozen=True)
class Place:
    """Where a parameter is in a source."""

    get: Callable[[Source], Parameter]
    put: Callable[[Source, Parameter], Source]


@dataclass(frozen=True)
class Line:
    """One number of a source."""

    key: str
    """What tells it apart from the other lines of its source."""
    label: str
    value: float
    """NaN where it is not known."""
    unit: str = ""
    help: str = ""
    place: Place | None = None
    """Of the parameter that says whether it is free; None for what a fit never changes."""
    has_bounds: bool = False
    """Whether that parameter's bounds are those of this number."""
    changed: Callable[[Source, float], Source] | None = None
    """Gives a source with another value; None for what is only read."""
    text: str = ""
    """Shown instead of a number."""
    part: int = 0
    """Of which component it is."""
    link_name: str = ""
    """The name of the parameter of a morphology that can be linked; empty for the others."""
    widest: tuple[float, float] = (-np.inf, np.inf)
    """Between which its bounds may lie."""
    prior: PriorPlace | None = None
    """Of what is believed of it; None for a number that takes no prior."""


@dataclass(frozen=True)
class Group:
    """Lines under one heading."""

    title: str
    lines: tuple[Line, ...]
    is_detail: bool = False
    """Whether it is folded away at first."""


def groups_of(
    source: Source, channels: Sequence[Channel], place: tuple[float, float], sky: Float[np.ndarray, "2 2"] | None
) -> tuple[Group, ...]:
    """Return all numbers of a source.

    `place` is its (x, y) in the first image [pix]; `sky` takes a direction (y, x) on the scene's pixels to north and
    east, and is None where there is no sky.
    """
    groups = [Group("Position", _position(source, place))]
    details: list[Group] = []
    for part, component in enumerate(source.components):
        several = len(source.components) > 1
        name = f"Part {part + 1}: {component.morphology.label}" if several else component.morphology.label.capitalize()
        shape, numbers = shape_lines(component, part, sky)
        groups.append(Group(name, shape))
        groups.append(Group(f"Fluxes of part {part + 1}" if several else "Fluxes", _fluxes(component, part, channels)))
        details += [Group(f"{title} ({name.lower()})", lines, is_detail=True) for title, lines in numbers]
    return (*groups, *details)


def _position(source: Source, place: tuple[float, float]) -> tuple[Line, ...]:
    center = Place(lambda s: s.center, lambda s, p: replace(s, center=p))
    where = "in the first image, 0-based"
    x, y = (
        Line(axis, axis, value, "px", f"{said} {where}", center, changed=lambda s, _: s)
        for axis, value, said in (("x", place[0], "Column"), ("y", place[1], "Row"))
    )

    def believed(s: Source, scatter: float) -> Source:
        if not scatter > 0:
            raise ValueError(f"How well a place is known must be above 0 px, got {scatter:g}.")
        return replace(s, center_scatter=scatter)

    def limited(s: Source, limit: float) -> Source:
        if not limit > 0:
            raise ValueError(f"A center needs room: its limit is above 0 px, got {limit:g}.")
        return replace(s, center_limit=limit, anchor=(s.x, s.y))

    within = "The center stays this close to where it is now, whatever the data say; the circle on the image shows it"
    limit = Line("center_limit", "stays within", source.center_limit, "px", within, changed=limited)
    help_ = "How far the place may be off, per axis (1σ); the fit weighs it against the data"
    return x, y, Line("center_scatter", "known to", source.center_scatter, "px", help_, changed=believed), limit


def shape_lines(
    component: Component, part: int, sky: Float[np.ndarray, "2 2"] | None
) -> tuple[tuple[Line, ...], list[tuple[str, tuple[Line, ...]]]]:
    """Return what is usually looked at, and long lists of numbers with their titles."""
    lines: list[Line] = []
    details: list[tuple[str, tuple[Line, ...]]] = []
    morphology = component.morphology
    if morphology.has_size and "half_light_radius" not in morphology.parameters:
        lines.append(
            Line(
                f"{part}.size",
                LABELS["half_light_radius"],
                morphology.half_light_radius_guess,
                "px",
                "About how far half of its light reaches, before the PSF",
                changed=partial(_sized, part),
                part=part,
            )
        )
    for name, parameter in morphology.parameters.items():
        at = _in_morphology(part, name)
        if name == "ellipticity":
            lines += _ellipse(parameter, at, part, sky)
        elif parameter.value.ndim == 0:
            lines.append(_number(name, parameter, at, part, component))
        elif parameter.value.ndim == 1:
            details.append((_label(name), _numbers(name, parameter, at, part, component)))
        else:
            size, help_ = f"{parameter.value.shape[-1]}²", "How many pixels are free"
            lines.append(Line(f"{part}.{name}", _label(name), np.nan, "px", help_, at, text=size, part=part))
    law = component.law
    for name, parameter in {} if law is None else law.parameters.items():
        at = _in_law(part, name)
        if parameter.value.ndim == 0:
            number = _number(name, parameter, at, part, component)
            lines.append(replace(number, link_name="", prior=law_prior(part, name)))
        else:
            details.append((_label(name), _numbers(name, parameter, at, part, component)))
    box = "Half the side of its box; the fit leaves the size that you give"
    lines.append(
        Line(f"{part}.radius", "box radius", component.radius, "px", box, changed=partial(_boxed, part), part=part)
    )
    gradients = Place(
        lambda s: s.components[part].color_gradients,
        lambda s, p: _with_component(s, part, replace(s.components[part], color_gradients=p)),
    )
    details.append(("Color gradients", _numbers("color_gradients", component.color_gradients, gradients, part)))
    return tuple(lines), details


def _fluxes(component: Component, part: int, channels: Sequence[Channel]) -> tuple[Line, ...]:
    at = Place(
        lambda s: s.components[part].spectrum,
        lambda s, p: _with_component(s, part, replace(s.components[part], spectrum=p)),
    )
    several = len({channel.survey for channel in channels}) > 1
    shining = component.shines_in or (True,) * len(channels)
    return tuple(
        Line(
            f"{part}.flux.{k}",
            str(channel) if several else channel.name,
            float(flux),
            "nJy",
            "Fluxes that are free are solved for at every edit: one that you type is fixed",
            at,
            has_bounds=True,
            changed=partial(_lit, part, k) if shines and component.law is None else None,
            part=part,
            prior=prior_place(at.get, at.put, k, flux_kinds(len(channels)), k)
            if shines and not component.law
            else None,
        )
        for k, (channel, flux, shines) in enumerate(zip(channels, component.spectrum.value, shining, strict=True))
    )


def _number(name: str, parameter: Parameter, at: Place, part: int, component: Component) -> Line:
    return Line(
        f"{part}.{name}",
        _label(name),
        float(parameter.value),
        UNITS.get(name, ""),
        place=at,
        has_bounds=True,
        changed=partial(_valued, at, None),
        part=part,
        link_name=name,
        widest=_widest(name, component),
        prior=prior_place(at.get, at.put, 0, kinds) if (kinds := shape_kinds(name)) else None,
    )


def _numbers(
    name: str, parameter: Parameter, at: Place, part: int, component: Component | None = None
) -> tuple[Line, ...]:
    in_morphology = component is not None and name in component.morphology.parameters
    return tuple(
        Line(
            f"{part}.{name}.{k}",
            f"{_label(name)} {k + 1}",
            float(value),
            UNITS.get(name, ""),
            place=at,
            has_bounds=True,
            changed=partial(_valued, at, k),
            part=part,
            link_name=name if in_morphology else "",
            widest=(-np.inf, np.inf) if component is None else _widest(name, component),
        )
        for k, value in enumerate(parameter.value)
    )


def _ellipse(parameter: Parameter, at: Place, part: int, sky: Float[np.ndarray, "2 2"] | None) -> list[Line]:
    eta = parameter.value

    def flatter(s: Source, ratio: float) -> Source:
        if not 0 < ratio <= 1:
            raise ValueError(f"An axis ratio lies above 0 and is 1 at most, got {ratio:g}.")
        old = at.get(s)
        return at.put(s, old.edited(ellipticity_of(ratio, major_angle(old.value))))

    def turned(s: Source, degrees: float) -> Source:
        old = at.get(s)
        if not np.any(old.value):
            raise ValueError("What is round has no position angle; make its axis ratio smaller first.")
        angle = angle_on_pixels(degrees, sky)
        return at.put(s, old.edited(ellipticity_of(axis_ratio(old.value), angle)))

    angle_help = "Of the major axis, from north to east" if sky is not None else "Of the major axis, from x to y"
    ratio_line = Line(
        f"{part}.axis_ratio",
        "axis ratio",
        axis_ratio(eta),
        help="Minor over major axis",
        place=at,
        changed=flatter,
        part=part,
        link_name="ellipticity",
    )
    angle = angle_on_sky(major_angle(eta), sky) if np.any(eta) else np.nan
    angle_line = replace(
        ratio_line,
        key=f"{part}.angle",
        label="position angle",
        value=angle,
        unit="°",
        help=angle_help,
        changed=turned,
    )
    return [ratio_line, angle_line]


def angle_on_sky(angle: float, sky: Float[np.ndarray, "2 2"] | None) -> float:
    """Return the position angle of a direction on the scene's pixels, from x [rad]: from north through east, or from x
    where there is no sky, 0 to 180 [deg]."""
    y, x = np.sin(angle), np.cos(angle)
    if sky is not None:
        north, east = sky @ (y, x)
        y, x = east, north
    # rounded, since a hair below 0 would be 180
    return round(float(np.rad2deg(np.arctan2(y, x))), 9) % 180.0


def angle_on_pixels(degrees: float, sky: Float[np.ndarray, "2 2"] | None) -> float:
    """Return the inverse of `angle_on_sky`, up to half a turn [rad]."""
    angle = np.deg2rad(degrees)
    if sky is None:
        return float(angle)
    y, x = np.linalg.solve(sky, (np.cos(angle), np.sin(angle)))
    return float(np.arctan2(y, x))


def _in_morphology(part: int, name: str) -> Place:
    def put(source: Source, parameter: Parameter) -> Source:
        component = source.parts[part]
        morphology = component.morphology.with_parameters(**{name: parameter})
        return _with_component(source, part, replace(component, morphology=morphology))

    return Place(lambda s: s.parts[part].morphology.parameters[name], put)


def _in_law(part: int, name: str) -> Place:
    def get(source: Source) -> Parameter:
        law = source.components[part].law
        assert law is not None
        return law.parameters[name]

    def put(source: Source, parameter: Parameter) -> Source:
        component = source.components[part]
        assert component.law is not None
        return _with_component(source, part, replace(component, law=component.law.with_parameters(**{name: parameter})))

    return Place(get, put)


def _valued(at: Place, index: int | None, source: Source, number: float) -> Source:
    """Return the source with a number of a parameter; raises ValueError where its bounds leave it out."""
    parameter = at.get(source)
    if not parameter.lower <= number <= parameter.upper:
        raise ValueError(
            f"The value must lie between its bounds, {parameter.lower:g} and {parameter.upper:g}, got {number:g}; "
            "change the bounds first if you mean it."
        )
    value = np.array(parameter.value)
    value[... if index is None else index] = number
    return at.put(source, parameter.edited(value))


def _lit(part: int, channel: int, source: Source, flux: float) -> Source:
    """Return the source with a flux that stays as it is."""
    component = source.components[part]
    spectrum = component.spectrum
    if not spectrum.lower <= flux <= spectrum.upper:
        raise ValueError(
            f"A flux of it lies between {spectrum.lower:g} and {spectrum.upper:g} nJy, got {flux:g}; change the bounds "
            "first if you mean it."
        )
    values = np.array(spectrum.value)
    values[channel] = flux
    held = spectrum.edited(values).with_status(Status.FIXED)
    return _with_component(source, part, replace(component, spectrum=held))


def _sized(part: int, source: Source, size: float) -> Source:
    component = source.parts[part]
    if not size > 0:
        raise ValueError(f"A half-light radius is above 0 px, got {size:g}.")
    return _with_component(
        source, part, replace(component, morphology=component.morphology.with_half_light_radius(size))
    )


def _boxed(part: int, source: Source, radius: float) -> Source:
    if radius != round(radius):
        raise ValueError(f"The radius of a box is a whole number of pixels, got {radius:g}.")
    if not 1 <= radius <= LARGEST_BOX:
        raise ValueError(f"The radius of a box lies between 1 and {LARGEST_BOX} px, got {radius:g}.")
    component = replace(source.parts[part].resized(round(radius)), is_box_held=True)
    return _with_component(source, part, component)


def dust_of(source: Source) -> Dust:
    assert source.dust is not None, "lines of dust are of sources that have some"
    return source.dust


def _with_component(source: Source, part: int, component: Component) -> Source:
    if part == len(source.components):
        dust = dust_of(source)
        return source.dimmed(replace(dust, morphology=component.morphology, radius=component.radius))
    return replace(source, components=(*source.components[:part], component, *source.components[part + 1 :]))


def _widest(name: str, component: Component) -> tuple[float, float]:
    """Return between which bounds a parameter can be drawn: what a new source of the kind has."""
    if name in WIDEST:
        return WIDEST[name]
    morphology = component.morphology
    start = start_morphology(morphology.label, 2.0, 2).parameters.get(name)
    return (-np.inf, np.inf) if start is None else (start.lower, start.upper)


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))
