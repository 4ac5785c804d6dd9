"""Pictures of blends for the report of a batch: the data of a box, the light of all models in it, and what is left."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deblend.batch.journal import results_in
from deblend.batch.task import Result
from deblend.batch.tiles import AbstractTile
from deblend.detect import stacked
from deblend.observe import Observation
from deblend.sky import PixelBox

SIGMA = 5.0
"""Where the colors of residuals end [sigma]."""

Picture = Float[np.ndarray, "y x"]


def pictures_of(
    folder: Path, tiles: Sequence[AbstractTile], chosen: Sequence[Result], mended: Mapping[int, Result]
) -> dict[int, dict[str, str]]:
    """Return pictures of chosen blends as addresses that hold them ("data:image/png;…"), by number and by what they
    show; of a blend that was not fitted the data alone, and nothing where no pixel counts."""
    opened: dict[int, tuple[Result, PixelBox, tuple[Observation, ...], list[np.ndarray]]] = {}
    for result in chosen:
        within = _box(result).within(tiles[result.tile].shape)
        if within is None:
            continue
        try:
            observations = tiles[result.tile].piece(within)
        except ValueError:
            # it may have failed for just this
            continue
        models = [np.zeros(o.images.shape) for o in observations]
        opened[result.number] = (result, within, observations, models)
    for kept in results_in(folder):
        other = mended.get(kept.number, kept)
        for result, within, _, models in opened.values():
            if other.tile == result.tile and other.model is not None:
                _add(models, within, other)
    return {
        number: _drawn(result, seen, models)
        for number, (result, _, seen, models) in opened.items()
        if any(o.weights.any() for o in seen)
    }


def _drawn(result: Result, observations: Sequence[Observation], models: Sequence[np.ndarray]) -> dict[str, str]:
    """Return the pictures of a blend, all bands together in units of their noise."""
    data = stacked(observations).signal_to_noise
    highest = float(np.arcsinh(max(float(np.percentile(data, 99.5)), 10.0)))
    shown = {"data": _png(np.arcsinh(data), -1.0, highest, "gray")}
    if not result.failure:
        light = sum((o.weights * m).sum(axis=0) for o, m in zip(observations, models, strict=True))
        weight = sum(o.weights.sum(axis=0) for o in observations)
        model = light / np.sqrt(np.where(weight > 0, weight, np.inf))
        shown["model"] = _png(np.arcsinh(model), -1.0, highest, "gray")
        shown["what is left"] = _png(data - model, -SIGMA, SIGMA, "coolwarm")
    return shown


def _png(picture: Picture, low: float, high: float, colors: str) -> str:
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, np.clip(picture, low, high), vmin=low, vmax=high, cmap=colors, origin="lower", format="png")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _add(models: Sequence[np.ndarray], within: PixelBox, other: Result) -> None:
    """Add the light of another blend where it reaches into a box of its tile."""
    low = max(within.x[0], other.corner[0]), max(within.y[0], other.corner[1])
    high = min(within.x[1], other.corner[0] + other.side), min(within.y[1], other.corner[1] + other.side)
    if low[0] >= high[0] or low[1] >= high[1]:
        return
    here, there = (
        (slice(low[1] - y, high[1] - y), slice(low[0] - x, high[0] - x))
        for x, y in ((within.x[0], within.y[0]), other.corner)
    )
    first = 0
    assert other.model is not None
    for model in models:
        model[:, *here] += other.model[first : first + len(model), *there]
        first += len(model)


def _box(result: Result) -> PixelBox:
    (x0, y0), side = result.corner, result.side
    return PixelBox((x0, x0 + side), (y0, y0 + side))
