"""Flags: what to be careful about in a source."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from deblend.infer import uneven
from deblend.program import Program

MOVED = 1.0
"""How far a center may go from where it was placed without a flag, per axis [pix]."""
DEGENERATE = -0.7
"""Correlation of the errors of two sources' fluxes, over all channels, from which on one has what the other lacks."""
CORE = 1.5
"""Distance from the center within which a masked pixel is one of the core [pix of the observation]."""
AT = 1e-4
"""How close to a bound a parameter is at it, relative to the range between bounds or to one."""

MEANINGS = {
    "at_bound": "a shape parameter, or how far the center may go, is at its bound",
    "moved": "the center has gone more than a pixel from where the source was placed",
    "zero_flux": "there is no light in any channel",
    "masked_core": "a pixel at the center is masked in an observation, saturated for instance",
    "not_converged": "the fit had not converged",
    "uneven": "it is neither smooth nor elliptical; a learned galaxy would explain it better",
    "degenerate": "its flux can be traded for that of the source named in degenerate_with",
}
"""Every flag, and what it says."""


def flags_of(program: Program, converged: bool | None = None) -> dict[str, Bool[np.ndarray, " source"]]:
    """Return the flags of every source of the program's scene that need no errors, by name.

    `converged` tells how the fit ended, where that is known.
    """
    sources = program.scene.sources
    away = [np.abs(s.center.value - np.asarray(s.anchor)).max() for s in sources]
    is_uneven = set(uneven(program.scene, program.observations))
    return {
        "at_bound": _at_bound(program),
        "moved": np.array(away, float) > MOVED,
        "zero_flux": ~np.any(program.scene.fluxes > 0, axis=1),
        "masked_core": _masked_core(program),
        "not_converged": np.full(len(sources), converged is False),
        "uneven": np.array([s.id in is_uneven for s in sources], bool),
    }


def degenerate_with(draws: Float[np.ndarray, "sample source channel"]) -> list[int | None]:
    """Return the source that each one trades flux with the most, by draws of their errors; None where with none.

    The correlation is that of the posterior (its Gauss-Newton matrix), with shapes marginalised over, pooled over
    channels.
    """
    sizes = np.sqrt(np.mean(draws**2, axis=0))
    unit = draws / np.where(sizes > 0, sizes, np.inf)
    seen = np.count_nonzero(sizes > 0, axis=1)
    shared = np.einsum("sic,sjc->ij", unit, unit) / len(draws)
    correlation = shared / np.maximum(np.minimum(seen[:, None], seen), 1)
    np.fill_diagonal(correlation, 0.0)
    rivals = correlation.argmin(axis=1)
    return [int(r) if correlation[i, r] < DEGENERATE else None for i, r in enumerate(rivals)]


def _at_bound(program: Program) -> Bool[np.ndarray, " source"]:
    result = np.zeros(len(program.scene), bool)
    data = program.data
    for rows, p, d in zip(program.rows, program.parameters.groups, data.groups, strict=True):
        used = slice(len(rows))
        span = np.where(np.isfinite(d.theta_upper - d.theta_lower), d.theta_upper - d.theta_lower, 1.0)[used]
        theta: Any = p.theta[used]
        low, high = theta - d.theta_lower[used] < AT * span, d.theta_upper[used] - theta < AT * span
        np.logical_or.at(result, rows, np.any((low | high) & (d.theta_free[used] > 0), axis=1))
    return result


def _masked_core(program: Program) -> Bool[np.ndarray, " source"]:
    scene = program.scene
    result = np.zeros(len(scene), bool)
    for observation in program.observations:
        to_image = scene.grid.affine_to(observation.grid)
        height, width = observation.shape
        for row, source in enumerate(scene.sources):
            y, x = (float(v) for v in to_image(source.y, source.x))
            if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
                continue
            rows = np.arange(max(int(y - CORE), 0), min(int(y + CORE) + 2, height))
            columns = np.arange(max(int(x - CORE), 0), min(int(x + CORE) + 2, width))
            near = np.hypot(rows[:, None] - y, columns[None] - x) <= CORE
            masked = np.any(observation.weights[:, rows[:, None], columns[None]] == 0, axis=0)
            result[row] |= bool(np.any(masked & near))
    return result
