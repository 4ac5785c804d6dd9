"""A picture of what a prior believes in: draws of it beside stamps that it was not shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from deblend.priors.interface import AbstractPrior
from deblend.replacing import replacing

ROWS, COLUMNS = 4, 8
SOFTENING = 0.03
"""Brightness at which the stretch turns from linear to logarithmic [peak]."""
INCH = 1.0


def write_sheet(
    path: Path, prior: AbstractPrior, stamps: Float[np.ndarray, "stamp y x"], seed: int
) -> Float[np.ndarray, "draw y x"]:
    """Write draws (above) and held-out stamps (below), stretched alike, as PNG; return the draws."""
    n = ROWS * COLUMNS
    drawn = np.asarray(eqx.filter_jit(lambda prior, key: prior.sample(key, n))(prior, jax.random.key(seed)))
    figure = Figure(figsize=(COLUMNS * INCH, 2 * ROWS * INCH + 0.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1)
    for half, pictures, title in zip(halves, (drawn, stamps[:n]), ("Draws", "Held out"), strict=True):
        half.suptitle(title, fontsize=9)
        for axes, picture in zip(half.subplots(ROWS, COLUMNS).ravel(), pictures, strict=False):
            axes.imshow(np.arcsinh(picture / SOFTENING), origin="lower", cmap="gray", vmin=-1.0, vmax=4.2)
        for axes in half.axes:
            axes.set_axis_off()
    with replacing(path) as part:
        figure.savefig(part, dpi=100, format="png")
    return drawn
