"""Components whose fluxes follow a law: f = a L(p), a curved surface of few dimensions among all fluxes.

Compiled code knows fluxes only. Before each step the plane that touches the surface is worked out, and steps are
projected onto it, as they are for other ties; each trial of a line search is brought back from the plane to the
surface (a retraction, as in Absil, Mahony & Sepulchre 2008, chapter 4). All of it is data, so that no change of a law
compiles. Priors of a law's parameters become a quadratic term in the fluxes on that plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deblend.program.arrays import Parameters, ProblemData
from deblend.program.law_chart import Chart
from deblend.program.law_surface import Fluxes, Lawful, Plane
from deblend.program.ties import epochs_of_channels
from deblend.render.spectra import Passbands
from deblend.scene import Source, Template
from deblend.sky import Channel


@dataclass(frozen=True, eq=False)
class Laws:
    """All components of a scene that have a law, where they stand."""

    members: tuple[Lawful, ...]
    planes: tuple[Plane, ...] = ()
    """Of each member, once a step is being made."""

    @property
    def penalty(self) -> float:
        """½ Σ r² over the priors of all laws, a pure number."""
        return sum((m.penalty for m in self.members), start=0.0)

    def touching(self) -> Laws:
        """Return them with the planes that touch their surfaces."""
        return replace(self, planes=tuple(m.plane() for m in self.members))

    def linearized(self, data: ProblemData, linearize: Callable[[ProblemData], Any]) -> tuple[Laws, ProblemData, Any]:
        """Return the laws with their planes, the data that tie fluxes to them, and what `linearize` makes of these: a
        step whose gradient holds the priors, and no parameter that would leave its bounds."""
        laws = self.touching()
        data = laws.tying(data)
        step = linearize(data)
        gradients = [np.array(g.flux) for g in step.gradient.groups]
        planes = []
        for m, plane in zip(laws.members, laws.planes, strict=True):
            residuals, _ = m.chart.prior(m.coordinates)
            gradient = gradients[m.group][m.slot] + plane.pulled @ residuals
            held = m.held(gradient)
            if held.any():
                plane = m.plane(held)
                gradient = plane.tie @ gradients[m.group][m.slot] + plane.pulled @ residuals
            if m.is_free:
                gradients[m.group][m.slot] = gradient
            planes.append(plane)
        laws = replace(laws, planes=tuple(planes))
        step = step._replace(gradient=with_fluxes(step.gradient, gradients))
        return laws, laws.tying(data), step

    def tying(self, data: ProblemData) -> ProblemData:
        """Return the data with steps of fluxes held to the planes, and with the priors."""
        groups = list(data.groups)
        for index in {m.group for m in self.members}:
            ties, roots = (np.array(part) for part in (groups[index].flux_tie, groups[index].flux_root))
            for m, plane in zip(self.members, self.planes, strict=True):
                if m.group == index:
                    ties[m.slot] = plane.tie
                    roots[m.slot] = plane.root if m.is_free else 0.0
            groups[index] = groups[index]._replace(flux_tie=ties, flux_root=roots)
        return data._replace(groups=tuple(groups))

    def retracted(self, here: Parameters, direction: Any, fraction: float, step: Any) -> tuple[Laws, Any]:
        """Return the laws a fraction along a direction, and the direction that leads straight there."""
        fluxes = [np.array(d.flux) for d in direction.groups]
        bounds = [[np.asarray(group.flux) for group in part.groups] for part in (step.lower, step.upper)]
        members = []
        for m, plane in zip(self.members, self.planes, strict=True):
            if not m.is_free:
                members.append(m)
                continue
            lower, upper = (np.asarray(part[m.group][m.slot], np.float64) for part in bounds)
            moved = m.moved(fluxes[m.group][m.slot].astype(np.float64), plane, fraction, lower, upper)
            fluxes[m.group][m.slot] = (moved.fluxes - np.asarray(here.groups[m.group].flux[m.slot])) / fraction
            members.append(moved)
        return Laws(tuple(members)), with_fluxes(direction, fluxes)

    def with_noise(self, step: Any, rng: np.random.Generator) -> tuple[Any, list[np.ndarray]]:
        """Return a step whose gradient has unit noise of priors added, and that noise."""
        fluxes = [np.array(g.flux) for g in step.gradient.groups]
        drawn: list[np.ndarray] = []
        for m, plane in zip(self.members, self.planes, strict=True):
            drawn.append(rng.standard_normal((plane.pulled.shape[1],)))
            fluxes[m.group][m.slot] += plane.pulled @ drawn[-1]
        return step._replace(gradient=with_fluxes(step.gradient, fluxes)), drawn

    def changes(self, change: Any, drawn: Sequence[np.ndarray]) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        """Return what changes of fluxes, and noise of priors, mean for the parameters of each law, by their names."""
        result = {}
        for m, plane, noise in zip(self.members, self.planes, drawn, strict=True):
            if not m.is_free:
                continue
            fluxes = np.asarray(change.groups[m.group].flux[m.slot], np.float64)
            moved = plane.to_coordinates @ fluxes + plane.settled @ noise
            result[m.key] = m.chart.by_name(moved * m.chart.numbers(m.coordinates)[1])
        return result

    def raised(self, source: Source, index: int) -> Source:
        """Return a source with the fitted law of one of its components, where it has one."""
        for m in self.members:
            if m.key == (source.id, index) and m.is_free:
                components = list(source.components)
                components[index] = replace(components[index], law=m.chart.law_at(m.coordinates))
                return replace(source, components=tuple(components))
        return source

    def find(self, source_id: str, index: int = 0) -> Lawful | None:
        """Return the component of a source; None where it has no law."""
        return next((m for m in self.members if m.key == (source_id, index)), None)


def with_fluxes(parameters: Any, fluxes: Sequence[np.ndarray]) -> Any:
    """Return parameters with other fluxes in every group."""
    groups = (g._replace(flux=flux) for g, flux in zip(parameters.groups, fluxes, strict=True))
    return parameters._replace(groups=tuple(groups))


def lawful_members(
    groups: Sequence[Sequence[tuple[Source, int]]],
    channels: Sequence[Channel],
    passbands: Callable[[], Passbands],
    noise: Fluxes,
    known: Mapping[tuple[str, int], Lawful],
) -> Laws | None:
    """Return the components that have a law, where they are said to stand; None where none has one.

    `groups` are the members of every group's slots. What is `known` and has not changed is not worked out again.
    Raises ValueError where a template ends within a passband.
    """
    members = []
    for group, slots in enumerate(groups):
        for slot, (source, index) in enumerate(slots):
            component = source.components[index]
            if component.law is None:
                continue
            key, bands = (source.id, index), passbands()
            before = known.get(key)
            if before is not None and before.component is component and before.passbands is bands:
                is_there = (before.group, before.slot) == (group, slot)
                members.append(before if is_there else replace(before, group=group, slot=slot))
                continue
            lit = np.array(component.shines_in if component.shines_in else np.ones(len(channels)), np.float64)
            bounds = {}
            if isinstance(component.law, Template):
                bounds["redshift"] = _covered(component.law, bands, channels, lit, source.name or source.id)
            chart = Chart(component.law, bounds)
            parts = epochs_of_channels(channels) if component.is_variable else np.ones((1, len(channels)))
            start, dark = chart.start, np.zeros(len(parts))
            lawful = Lawful(component, key, group, slot, chart, bands, noise, parts * lit, start, dark, parts)
            lawful = replace(lawful, present=lawful.colors(start))
            if not np.any(lawful.present):
                raise ValueError(
                    f"The {component.law.label} of source {source.name or source.id} has no light in any passband; "
                    "change its parameters."
                )
            members.append(lawful.with_fluxes(np.nan_to_num(component.spectrum.value) / noise))
    return Laws(tuple(members)) if members else None


def _covered(
    law: Template, passbands: Passbands, channels: Sequence[Channel], lit: Fluxes, name: str
) -> tuple[float, float]:
    """Return the redshifts between which a template reaches over all passbands; raises ValueError where its own is not
    among them."""
    shortest, longest = (float(law.wavelengths[end]) * (1.0 + float(law.redshift.value)) for end in (0, -1))
    for channel, (first, last), is_lit in zip(channels, passbands.reaches, lit, strict=True):
        if is_lit and (shortest > first or longest < last):
            raise ValueError(
                f"The template of source {name} reaches from {shortest:.0f} to {longest:.0f} Å at its redshift, and "
                f"{channel} sees {first:.0f} to {last:.0f} Å; give a longer one, or leave out that channel."
            )
    seen = passbands.reaches[lit > 0]
    return seen[:, 1].max() / law.wavelengths[-1] - 1.0, seen[:, 0].min() / law.wavelengths[0] - 1.0
