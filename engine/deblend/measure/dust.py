"""What a catalog tells of dust: how deep it is, and how much of the light it lets through."""

from __future__ import annotations

import numpy as np
from astropy.table import QTable

from deblend.infer.errors import Draws
from deblend.measure.naming import column_key
from deblend.program import Program


def add_dust(table: QTable, program: Program, draws: Draws | None) -> None:
    """Add columns, where any source of the program's scene has dust, that are NaN for those without.

    `dust_law`; `dust_depth`, the mean optical depth within the ellipse that holds half of the dust, where k is 1 (in
    the V band; the mean over all channels where each has one of its own), and its error for that ellipse, where there
    are draws; per channel `transmitted_SURVEY_BAND`, the share of the source's light that passes the dust.
    """
    scene = program.scene
    sources = scene.sources
    if all(source.dust is None for source in sources):
        return
    dusts = [source.dust for source in sources]
    table["dust_law"] = ["" if dust is None else dust.extinction.law for dust in dusts]
    table["dust_depth"] = [np.nan if dust is None else dust.depth for dust in dusts]
    if draws is not None:
        errors = draws.depth_errors
        scale = [1.0 if dust is None else dust.depth / max(float(np.mean(dust.total.value)), 1e-30) for dust in dusts]
        of_total = [float(np.mean(errors.get(source.id, np.nan))) for source in sources]
        table["dust_depth_err"] = np.multiply(of_total, scale)
    bare = scene.with_sources(source.dimmed(None) for source in sources)
    seen, without = program.pictures_of(scene), program.pictures_of(bare)
    passed = np.full((len(sources), len(scene.channels)), np.nan)
    for row, source in enumerate(sources):
        if source.dust is not None:
            sums = [
                np.concatenate([column.patch.sum(axis=(1, 2)) for column in columns[row]])
                for columns in (seen, without)
            ]
            passed[row] = sums[0] / np.where(sums[1] > 0, sums[1], np.nan)
    for index, channel in enumerate(scene.channels):
        table[f"transmitted_{column_key(channel)}"] = passed[:, index]
