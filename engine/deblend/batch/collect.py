"""From the journal to what an astronomer takes along: one catalog, the model images, and a table of the blends."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from jaxtyping import Float

from deblend.batch.journal import results_in
from deblend.batch.plan import Plan
from deblend.batch.report import write_report
from deblend.batch.run import Batch
from deblend.batch.sessions import mended_in
from deblend.batch.task import Result
from deblend.batch.tiles import AbstractTile
from deblend.guard import AnyPath
from deblend.infer import Outcome
from deblend.io.fits_file import FITS_BLOCK
from deblend.io.results import image_hdu, write_catalog
from deblend.measure import MEANINGS, Catalog
from deblend.measure.naming import column_key
from deblend.observe import Observation
from deblend.replacing import replacing
from deblend.sky import AB_ZERO_POINT_NJY, Channel, PixelBox

UNITS = {
    **dict.fromkeys(("ra_err", "dec_err"), u.mas),
    **dict.fromkeys(("x", "y", "x_err", "y_err", "centroid_x", "centroid_y", "half_light_radius", "box_radius"), u.pix),
    **dict.fromkeys(("ra", "dec"), u.deg),
}
NOT_FITTED = "its blend could not be fitted; see `failure` of that blend in blends.fits"
BY_HAND = "its blend is as a person has left it in the window"
LATER = "it was found in what a first fit of its blend left over"
AT_EDGE = "its light reaches over the edge of its tile"
FIRST = ("x", "y", "x_err", "y_err", "centroid_x", "centroid_y", "ra", "dec", "ra_err", "dec_err")

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Gathered:
    """What came of a batch."""

    catalog: QTable
    blends: QTable
    numbers: Mapping[str, float]
    """How many of what, for a summary."""


def collect(
    batch: Batch,
    *,
    with_models: bool = True,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], object] = lambda sentence: None,
) -> Gathered:
    """Write catalog, table of blends, report and models of what a batch has done into its folder; return the tables.

    `progress` is told how many of how many tiles have their models written; `note` that no Parquet was written, where
    the library for it is missing.
    """
    plan, folder = batch.plan(), batch.folder
    mended = mended_in(batch)
    results = [_present(result, mended) for result in results_in(folder, with_models=False)]
    catalog, blends = catalog_of(plan, results, batch.channels, batch.tiles), blends_table(results, batch.tiles)
    write_catalog(folder / "catalog.fits", Catalog(catalog))
    write_catalog(folder / "blends.fits", Catalog(blends))
    if find_spec("pyarrow") is None:
        note("catalog.parquet was not written, since the library pyarrow is missing; catalog.fits holds the same.")
    else:
        write_catalog(folder / "catalog.parquet", Catalog(catalog))
    if with_models:
        write_models(folder, batch.tiles, mended, progress)
    numbers = _numbers(plan, results)
    write_report(folder, batch.tiles, catalog, results, mended, numbers)
    return Gathered(catalog, blends, numbers)


def _present(result: Result, mended: Mapping[int, Result]) -> Result:
    """Return what a person has made of a blend, which remembers what had been found in it; else the blend itself."""
    other = mended.get(result.number)
    return result if other is None else replace(other, all_second=result.second)


def _numbers(plan: Plan, results: Sequence[Result]) -> dict[str, float]:
    fitted = [result for result in results if not result.failure]
    off = border_agreement(results)
    numbers: dict[str, float] = {
        "n_sources": sum(result.n_sources for result in results),
        "n_blends": len(plan.blends),
        "n_failed": len(results) - len(fitted),
        "n_not_converged": sum(not result.is_mended and not Outcome(result.outcome).is_success for result in fitted),
        "n_second": sum(len(result.second) for result in results),
        "n_mended": sum(result.is_mended for result in results),
        "n_guests": sum(len(result.guests.get("source", ())) for result in fitted),
        "median_chi2": float(np.median([result.chi2 for result in fitted])) if fitted else np.nan,
        "cpu_seconds": float(np.nansum([result.seconds for result in results])),
    }
    if off.size:
        numbers["border_scatter_in_errors"] = float(1.4826 * np.nanmedian(np.abs(off)))
    return numbers


def catalog_of(
    plan: Plan, results: Sequence[Result], channels: Sequence[Channel], tiles: Sequence[AbstractTile]
) -> QTable:
    """Return one row per source that counts, in the order of tiles and of their rows of pixels.

    Columns are those of `deblend.measure`, with `id`, `tile`, `blend` (a row of the table of blends) and `chi2` of
    that blend. Sources whose blend failed are there, with `flag_failed` and without numbers. Behind these are those
    that were found in what first fits left over, then those that a person has added; what a person has removed from a
    blend is not there. An `id` stays what it is whatever a person does to other blends, or removes.
    """
    sources = plan.sources
    rows = np.flatnonzero(sources.owned)
    place = np.full(len(sources), -1)
    place[rows] = np.arange(len(rows))
    found = sorted(results, key=lambda result: result.number)
    n_second = sum(len(_slots(result)) for result in found)
    n = len(rows) + n_second + sum(result.added for result in found)
    tile, blend = np.zeros(n, int), np.full(n, -1)
    chi2, failed, mended = np.full(n, np.nan), np.zeros(n, bool), np.zeros(n, bool)
    columns: dict[str, np.ndarray] = {"x": np.full(n, np.nan), "y": np.full(n, np.nan)}
    # where nothing was fitted, the place is that of the detection
    columns["x"][: len(rows)], columns["y"][: len(rows)] = sources.x[rows], sources.y[rows]
    next_second, next_added = len(rows), len(rows) + n_second
    for result in found:
        seconds = {number: next_second + k for k, number in enumerate(_slots(result))}
        next_second += len(seconds)
        added = range(next_added, next_added + result.added)
        next_added += result.added
        mine = np.array([*place[list(result.sources)], *(seconds[k] for k in result.second), *added], int)
        tile[mine], blend[mine], chi2[mine] = result.tile, result.number, result.chi2
        failed[mine], mended[mine] = bool(result.failure), result.is_mended
        for name, values in result.columns.items():
            if name not in columns:
                kind = bool if values.dtype == bool else float
                columns[name] = np.full((n, *values.shape[1:]), False if kind is bool else np.nan, kind)
            columns[name][mine] = values
    table = QTable()
    table["id"] = np.arange(n)
    table["tile"] = np.array([tiles[k].name for k in tile], str)
    table["blend"] = blend
    for name in FIRST:
        if name in columns:
            table[name] = columns[name] * UNITS[name]
    for index, channel in enumerate(channels):
        of_channel = {name: values[:, index] for name, values in columns.items() if values.ndim == 2}
        _add_fluxes(table, column_key(channel), of_channel)
    for name, values in columns.items():
        if name not in FIRST and values.ndim == 1:
            table[name] = values * UNITS[name] if name in UNITS else values
    table["chi2"] = chi2
    reach = np.concatenate([sources.reach[rows], np.zeros(n - len(rows), int)])
    table["flag_edge"] = _at_edge(columns["x"], columns["y"], reach, np.array([t.shape for t in tiles])[tile])
    table["flag_failed"], table["flag_mended"] = failed, mended
    of_batch = {"edge": AT_EDGE, "failed": NOT_FITTED, "mended": BY_HAND, "second": LATER}
    for name, meaning in {**MEANINGS, **of_batch}.items():
        if f"flag_{name}" in table.colnames:
            table[f"flag_{name}"].info.description = meaning
    table.meta["software"] = f"napari-deblend {version('napari-deblend')}"
    table.meta["zp_ab"] = AB_ZERO_POINT_NJY
    table.meta["pixels"] = "of the tile; x, y are 0-based: the middle of the first pixel is (0, 0)"
    # of what a batch has not done yet, and of what a person has removed, no blend is known
    return table[blend >= 0]


def _slots(result: Result) -> tuple[int, ...]:
    """Return the numbers of all sources that were found later in a blend, those too that a person has removed."""
    return result.all_second or result.second


def blends_table(results: Sequence[Result], tiles: Sequence[AbstractTile]) -> QTable:
    """Return one row per blend: where it is, how its fit ended, and why it failed where it did."""
    found = sorted(results, key=lambda result: result.number)
    table = QTable()
    table["blend"] = [r.number for r in found]
    table["tile"] = [tiles[r.tile].name for r in found]
    for axis, name in enumerate("xy"):
        table[f"corner_{name}"] = [r.corner[axis] for r in found] * u.pix
    table["side"] = [r.side for r in found] * u.pix
    table["sources"] = [r.n_sources for r in found]
    table["guests"] = [len(r.guests.get("source", ())) for r in found]
    table["chi2"] = [r.chi2 for r in found]
    table["iterations"] = [r.iterations for r in found]
    table["seconds"] = [r.seconds for r in found] * u.s
    table["outcome"] = [r.outcome for r in found]
    table["failure"] = [r.failure for r in found]
    return table


def write_models(
    folder: AnyPath,
    tiles: Sequence[AbstractTile],
    mended: Mapping[int, Result] = MappingProxyType({}),
    progress: Progress = lambda done, total: None,
) -> list[Path]:
    """Write `models.fits`, or `models_TILE.fits` for each of several tiles, of what the folder's journal holds, or of
    what persons have made of it.

    One HDU (band, y, x) per survey, in the unit of the images, like `deblend fit` does. Files are filled in place, so
    that no image is ever in memory as a whole.
    """
    folder, paths = Path(folder), []
    for number, tile in enumerate(tiles):
        path = folder / ("models.fits" if len(tiles) == 1 else f"models_{tile.name}.fits")
        with replacing(path) as part:
            _fill(part, tile, number, folder, mended)
        paths.append(path)
        progress(number + 1, len(tiles))
    return paths


def border_agreement(results: Sequence[Result]) -> Float[np.ndarray, " pair"]:
    """Return how far fluxes of guests are off those that their own blends found, in the errors of the latter.

    A number per guest and channel; none where either blend has failed, or no errors were asked for.
    """
    own: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for result in results:
        if "flux_err" in result.columns:
            # what a person has added comes behind its own sources
            triples = zip(result.sources, result.columns["flux"], result.columns["flux_err"], strict=False)
            own |= {row: (flux, error) for row, flux, error in triples}
    off = [
        (flux - own[row][0]) / own[row][1]
        for result in results
        if result.guests
        for row, flux in zip(result.guests["source"].tolist(), result.guests["flux"], strict=True)
        if row in own
    ]
    return np.concatenate(off) if off else np.zeros(0)


def _add_fluxes(table: QTable, key: str, columns: Mapping[str, np.ndarray]) -> None:
    flux = columns.get("flux")
    if flux is None:
        return
    for name in ("flux", "flux_err", "flux_shared"):
        if name in columns:
            table[f"{name}_{key}"] = columns[name] * u.nJy
    with np.errstate(invalid="ignore"):
        positive = np.where(flux > 0, flux, np.nan)
    table[f"mag_{key}"] = (AB_ZERO_POINT_NJY - 2.5 * np.log10(positive)) * u.mag


def _at_edge(x: np.ndarray, y: np.ndarray, reach: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    low, high = np.minimum(x, y), np.maximum(x - shapes[:, 1], y - shapes[:, 0])
    result: np.ndarray = (low - reach < -0.5) | (high + reach > -0.5)
    return result


def _fill(path: Path, tile: AbstractTile, number: int, folder: Path, mended: Mapping[int, Result]) -> None:
    """Write the model images of a tile: headers first, then the light of one blend after another."""
    height, width = tile.shape
    middle = PixelBox.around(width / 2.0, height / 2.0, 64).within(tile.shape)
    assert middle is not None
    observations = tile.piece(middle)
    with path.open("wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
        starts = []
        for observation in observations:
            file.write(_header(observation, middle, tile.shape).tostring().encode("ascii"))
            starts.append(file.tell())
            n_bytes = 4 * len(observation.images) * height * width
            file.truncate(file.tell() + n_bytes + -n_bytes % FITS_BLOCK)
            file.seek(0, 2)
        if hasattr(os, "posix_fallocate"):
            # a full disk is said now; where a map of a file meets it, the system kills the process
            os.posix_fallocate(file.fileno(), 0, file.tell())
    cubes = [
        np.memmap(path, ">f4", "r+", start, (len(o.images), height, width))
        for o, start in zip(observations, starts, strict=True)
    ]
    for kept in results_in(folder):
        result = mended.get(kept.number, kept)
        if result.tile != number or result.model is None:
            continue
        (x0, y0), side = result.corner, result.side
        within = PixelBox((x0, x0 + side), (y0, y0 + side)).within(tile.shape)
        if within is None:
            continue
        rows, columns = within.slices
        own = slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0)
        first = 0
        for observation, cube in zip(observations, cubes, strict=True):
            light = result.model[first : first + len(cube), *own]
            cube[:, rows, columns] += observation.to_input_unit(light).astype(np.float32)
            first += len(cube)
    for cube in cubes:
        cube.flush()


def _header(observation: Observation, box: PixelBox, shape: tuple[int, int]) -> fits.Header:
    """Return the header of the image of a whole tile, of which an observation shows a box."""
    wcs = None if observation.wcs is None else observation.wcs.shifted(-box.x[0], -box.y[0])
    whole = replace(observation, wcs=wcs)
    header = image_hdu(whole, np.zeros((len(observation.images), 1, 1)), observation.name).header
    header["NAXIS1"], header["NAXIS2"] = shape[1], shape[0]
    return header
