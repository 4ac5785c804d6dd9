"""Draws as sessions and folders have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deblend import Catalog, Method, Samples, Sampling
from deblend.io import write_catalog, write_samples
from deblend.measure import KeptDraws, column_key
from deblend.replacing import replacing
from napari_deblend.draw_errors import deviations_of, shares_of
from napari_deblend.drawing import Drawn, DrawPhase

MOST_IN_SESSION = 32e6
"""How much the numbers of draws may take in a session, which is kept every few seconds [bytes]."""


def kept_of(drawn: Drawn) -> KeptDraws:
    """Return what of draws goes into a session: their numbers; of very many, every second, third… draw."""
    size = sum(values.nbytes for values in drawn.quantities.values())
    every = int(np.ceil(size / MOST_IN_SESSION)) or 1
    said = [*([] if drawn.diagnosis is None else [drawn.diagnosis.summary]), *drawn.doubts]
    if every > 1:
        said.append(f"Of {drawn.n_done} draws one in {every} is kept here.")
    quantities = {name: values[::every] for name, values in drawn.quantities.items()}
    numbers = drawn.chains[::every], quantities, drawn.units
    return KeptDraws(drawn.scene, drawn.method.value, drawn.seed, *numbers, tuple(said), drawn.is_calibrated)


def drawn_of(kept: KeptDraws) -> Drawn:
    """Return what draws of a session say: their numbers, and no pictures."""
    keys = [f"flux_{column_key(channel)}" for channel in kept.scene.channels]
    shape = len(kept), len(kept.scene), len(keys)
    fluxes = np.stack([kept.quantities[key] for key in keys], axis=2) if keys else np.zeros(shape)
    method = Method(kept.method)
    return Drawn(
        kept.scene,
        method,
        DrawPhase.DONE,
        len(kept),
        0,
        kept.seed,
        kept.quantities,
        kept.units,
        np.asarray(kept.chains),
        deviations_of(fluxes, shares_of(kept.scene, method, kept.quantities["blendedness"])),
        None,
        kept.said,
        {},
        kept.is_calibrated,
    )


def written(folder: Path, sampling: Sampling, samples: Samples) -> str:
    """Write draws, pictures, covariances and percentiles into a folder, and for ArviZ where it is installed.

    Returns a sentence, for what goes wrong too.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_samples(folder, sampling.program.observations, samples)
        catalog = Catalog(samples.catalog())
        catalog.table.meta |= {"method": sampling.method.value, "seed": sampling.seed}
        write_catalog(folder / "percentiles.ecsv", catalog)
        try:
            with replacing(folder / "samples.nc") as part:
                samples.to_arviz().to_netcdf(str(part))
        except ImportError as error:
            return f"{len(samples)} draws are in {folder}; samples.nc is not: {error}"
    except (ValueError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"The draws could not be written: {lines[0]}"
    return f"{len(samples)} draws are in {folder}."
