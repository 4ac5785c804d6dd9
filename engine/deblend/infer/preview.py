"""What constraints make of a component as it is now: its light before and after, without a fit.

Each operator acts once, as strongly as where data and constraint weigh the same. A fit asks the same again and again
and lets the data answer, so that its result lies between the two pictures, or at the second one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from deblend.infer.operators import allowed_flux, allowed_light
from deblend.infer.splitting import sights
from deblend.program import Program
from deblend.program.arrays import Parameters, ProblemData
from deblend.program.asked import lower_asked, nothing_asked
from deblend.program.compiled import compiled, register
from deblend.program.layout import Layout
from deblend.program.pictures import reach_mask
from deblend.program.splitting import amplitude_of
from deblend.render import KINDS


class Lights(NamedTuple):
    """A component before and after its constraints have acted once."""

    before: Float[Array, "side side"]
    """Light before the PSF of any telescope, all bands together [noise units]."""
    after: Float[Array, "side side"]
    flux_before: Float[Array, " channel"]
    """[noise units]"""
    flux_after: Float[Array, " channel"]


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What is known of one component in a program, kept apart from it: safe to give to another thread."""

    layout: Layout
    data: ProblemData
    parameters: Parameters
    noise: Float[np.ndarray, " channel"]
    """Unit of flux [nJy]."""
    radius: int
    """Half the side of the box in use [pix]."""

    @classmethod
    def of(cls, program: Program, source_id: str, index: int = 0, parameters: Parameters | None = None) -> Glimpse:
        """Take it from a program, with the constraints that the component has in the program's scene, at its own
        parameters or at those of a fit of it.

        It draws nothing and copies little. Raises KeyError where the scene has no such source, IndexError where that
        has no such component, ValueError for settings of constraints that do not fit the channels.
        """
        component = program.scene[source_id].components[index]
        places = {(s.id, k): (g, n) for g, slots in enumerate(program.members) for n, (s, k) in enumerate(slots)}
        group, slot = places[source_id, index]
        data, layout = program.data, program.layout
        parameters = program.parameters if parameters is None else parameters
        asked = nothing_asked(1, len(program.noise), program.dtype)
        lower_asked(asked, 0, component, program.noise)
        own = _alone(data.groups[group]._replace(asked=None, beliefs=None, tether=None, screen=None), slot)
        observations = tuple(o._replace(power=(o.power[group],)) for o in data.observations)
        layout = replace(
            layout, groups=(replace(layout.groups[group], capacity=1, is_split=True, has_beliefs=False),), stars=None
        )
        return cls(
            layout,
            ProblemData(
                (own._replace(count=np.int32(1), asked=asked),),
                observations,
                data.psf_variance,
                learned=data.learned if KINDS[layout.groups[0].kind].has_tables else None,
            ),
            Parameters((_alone(parameters.groups[group], slot),), None, None),
            program.noise,
            component.radius,
        )

    def lights(self) -> Lights:
        """Return the component before and after, within its box, fluxes in nJy; the first call for a size compiles."""
        found = jax.tree.map(np.asarray, compiled_lights(self.layout, self.data, self.parameters))
        middle = self.layout.groups[0].side // 2
        radius = min(self.radius, middle)
        box = slice(middle - radius, middle + radius + 1)
        before, after = (picture[box, box] for picture in (found.before, found.after))
        return Lights(before, after, found.flux_before * self.noise, found.flux_after * self.noise)


def lights(layout: Layout, data: ProblemData, parameters: Parameters) -> Lights:
    """Return the one component of a layout before and after its constraints."""
    (group,), (d,), (p,) = layout.groups, data.groups, parameters.groups
    (sight,) = sights(layout, data, parameters)
    assert sight is not None and d.asked is not None
    asked = jax.tree.map(lambda part: part[0], d.asked)
    flux, depth = p.flux[0], jnp.maximum(sight.depth[0], 1e-12)
    amplitude = amplitude_of(p.flux)[0]
    spectrum = flux / amplitude
    natural = jnp.maximum(jnp.sum(spectrum**2 * sight.energy[0]), 1e-6)
    before = amplitude * sight.pictures[0]
    after = allowed_light(before, spectrum, amplitude, p.theta[0, :2], asked, natural, natural)
    # where pixels are not free nothing can follow
    support = None if d.support is None else d.support[0]
    free = reach_mask(group.side, d.radius[0], d.pixel_radius[0], support, before.dtype) > 0
    return Lights(before, jnp.where(free, after, before), flux, allowed_flux(flux, asked, depth, depth))


def _alone(arrays: Any, slot: int) -> Any:
    """Return the arrays of a group with one slot only."""
    return jax.tree.map(lambda a: a[slot : slot + 1] if np.ndim(a) else a, arrays)


register(Lights)
compiled_lights = compiled(lights)
