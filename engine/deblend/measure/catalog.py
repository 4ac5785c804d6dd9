"""The catalog: what was fitted, in units an astronomer can use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.infer.errors import draw
from deblend.measure.calibration import calibration_table
from deblend.measure.covariances import add_covariances
from deblend.measure.dust import add_dust
from deblend.measure.flags import MEANINGS, degenerate_with, flags_of
from deblend.measure.full_scene import full_scene_table
from deblend.measure.laws import add_laws
from deblend.measure.motion import motion_table, on_image, on_sky, spread
from deblend.measure.naming import column_key
from deblend.measure.quantities import shapes_of, significance_of
from deblend.measure.regularized import biases_of, said_of, widened
from deblend.measure.sharing import Shares
from deblend.measure.stars import listing, star_table
from deblend.observe import Observation
from deblend.program import Program
from deblend.replacing import replacing
from deblend.scene import Scene
from deblend.sky import AB_ZERO_POINT_NJY, PixelAffine

FORMATS = {
    ".ecsv": "ascii.ecsv",
    ".fits": "fits",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
}
"""What a catalog is written as, by the ending of its name; all keep units."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """One row per source."""

    table: QTable
    calibration: QTable | None = None
    """How the images are off, a row per channel (see `deblend.measure.calibration_table`); None where that was not
    asked for."""
    motions: QTable | None = None
    """How what moves does so, a row per moving thing (see `deblend.measure.motion_table`); None where nothing does."""
    stars: QTable | None = None
    """One row per known star (see `deblend.measure.star_table`); None where there are none."""
    full_scene: QTable | None = None
    """One row per component of light over the whole scene (see `deblend.measure.full_scene_table`); None where there is
    none."""

    @property
    def parts(self) -> dict[str, Catalog]:
        """The tables that there are, by what they are called in a folder of results: "catalog", "calibration",
        "motions", "stars" and "full_scene"."""
        tables = {"catalog": self.table, "calibration": self.calibration, "motions": self.motions}
        tables |= {"stars": self.stars, "full_scene": self.full_scene}
        return {name: Catalog(table) for name, table in tables.items() if table is not None}

    def write(self, path: str | PathLike[str]) -> None:
        """Write one row per source as ECSV, FITS, VOTable or Parquet, by the ending of the name; raises ValueError for
        another one, and where Parquet is wanted and the library for it is missing."""
        path = Path(path)
        known = FORMATS.get(path.suffix.lower())
        if known is None:
            raise ValueError(
                f"A catalog is written as {', '.join(FORMATS)}; the name {path.name!r} ends in none of them."
            )
        try:
            with replacing(path) as part:
                self.table.write(str(part), format=known, overwrite=True)
        except ImportError as error:
            raise ValueError(
                f"{path.name}: writing Parquet needs the library pyarrow; install it (pip install "
                '"napari-deblend[parquet]"), or write .ecsv, .fits or .vot.'
            ) from error


def measure(
    scene: Scene,
    observations: Sequence[Observation],
    program: Program | None = None,
    errors: bool = True,
    progress: Callable[[int, int], Any] | None = None,
    converged: bool | None = None,
    shares: Shares | None = None,
    list_stars: bool = False,
) -> Catalog:
    """Measure every source of a fitted scene.

    Columns: `id`, `name`, `kind`; `host`, the name of the source that it belongs to, where any does; `x`, `y` (fitted
    center, 0-based pixels of the first image) with `x_err`, `y_err`; `centroid_x`, `centroid_y` (first moments of the
    model before the PSF); `ra`, `dec` [deg] where there is a WCS, with `ra_err`, `dec_err` [mas], both along great
    circles: `ra_err` has the cosine of declination in it, as Gaia's has;
    per channel `flux_SURVEY_BAND` [nJy], its `flux_err_…` and AB `mag_…`; `color_…_…` [mag] of each channel less the
    next one with `color_err_…`, and `covariance`, that of the fluxes and of x, y (see `deblend.measure.covariances`);
    `half_light_radius` [pix] of the model before the PSF; `snr`, of all bands together; `blendedness`
    (1 - ⟨own, own⟩ / ⟨own, all⟩: Bosch et al. 2018, section 4.9.11); `law` and `law_…` where spectra follow laws (see
    `deblend.measure.laws`); `dust_…` and `transmitted_…` where there is dust (see `deblend.measure.dust`): fluxes are
    those without it. Errors are Gaussian and marginalised over all else that is free, shapes and neighbours, and
    how far each channel may see a source off its center (0.1 pix of the scene, unless there is only one); a center that
    is not free has the error 0. They are known to 12 to 20 % of themselves. Errors of fluxes of galaxies have what
    the belief about their shapes biases them by, too (see `deblend.measure.regularized`).

    What moves has a row per epoch, with its place then: `time` is that epoch [d, MJD] and `track` the id that its rows
    share, and that `Catalog.motions` has rate and place under; both are empty for what stands still, and there are no
    such columns where nothing moves.

    `flag_…` tell what to be careful about (see `deblend.measure.MEANINGS`); `degenerate_with` names the source that
    trades flux with it. `flux_shared_…` is the flux of the `shares` of the data, where they are given.

    With `errors` off there are no error columns and no `degenerate_with`, and it is quick. `converged` tells how the
    fit ended, for the flags. Known stars have a table of their own, `Catalog.stars`; with `list_stars` they are listed
    behind the sources, too. So does light over the whole scene, `Catalog.full_scene`; the blendedness of a source does
    not count it.
    """
    if program is None:
        program = Program(observations, scene)
    else:
        program.take(scene)
    table = QTable()
    sources = scene.sources
    table["id"] = [s.id for s in sources]
    table["name"] = [s.name for s in sources]
    table["kind"] = [s.kind for s in sources]
    if any(s.host is not None for s in sources):
        names = {s.id: s.name for s in sources}
        table["host"] = ["" if s.host is None else names[s.host] for s in sources]
    draws = draw(program, progress=progress) if errors and not scene.is_empty else None
    centers = None if draws is None else draws.centers
    shapes = shapes_of(program)
    to_image = scene.grid.affine_to(program.observations[0].grid)
    _add_places(table, scene, to_image, centers, shapes)
    if scene.motions:
        table["track"] = [s.track.id if s.track else "" for s in sources]
        table["time"] = [s.track.time if s.track else np.nan for s in sources] * u.d
    fluxes = scene.fluxes
    significance, blendedness = significance_of(program)
    shares_of_bias = biases_of(scene, blendedness)
    deviations = None if draws is None else widened(draws.flux_errors, fluxes, shares_of_bias)
    for index, channel in enumerate(scene.channels):
        key = column_key(channel)
        table[f"flux_{key}"] = fluxes[:, index] * u.nJy
        if deviations is not None:
            table[f"flux_err_{key}"] = deviations[:, index] * u.nJy
        if shares is not None:
            table[f"flux_shared_{key}"] = shares.fluxes[:, index] * u.nJy
        positive = np.where(fluxes[:, index] > 0, fluxes[:, index], np.nan)
        table[f"mag_{key}"] = (AB_ZERO_POINT_NJY - 2.5 * np.log10(positive)) * u.mag
    if draws is not None:
        if said := said_of(scene):
            table.meta["widened"] = said
        add_covariances(table, scene, draws, to_image, shares_of_bias)
    table["half_light_radius"] = shapes[:, 2] * to_image.scale * u.pix
    table["snr"], table["blendedness"] = significance, blendedness
    table["box_radius"] = np.round([s.radius * to_image.scale for s in sources], 3) * u.pix
    for name, is_set in flags_of(program, converged).items():
        table[f"flag_{name}"] = is_set
    if draws is not None and sources:
        rivals = degenerate_with(draws.fluxes)
        table["flag_degenerate"] = [rival is not None for rival in rivals]
        table["degenerate_with"] = ["" if rival is None else sources[rival].name for rival in rivals]
    for name, meaning in MEANINGS.items():
        if f"flag_{name}" in table.colnames:
            table[f"flag_{name}"].info.description = meaning
    add_laws(table, scene, draws)
    add_dust(table, program, draws)
    stars = star_table(scene, program, None if draws is None else draws.star_errors)
    if list_stars:
        table = listing(table, stars)
    table.meta["software"] = f"napari-deblend {version('napari-deblend')}"
    table.meta["zp_ab"] = AB_ZERO_POINT_NJY
    table.meta["pixels"] = "of the first image; x, y are 0-based: the middle of the first pixel is (0, 0)"
    calibration = calibration_table(scene, None if draws is None else draws.calibration_errors)
    everywhere = full_scene_table(scene, None if draws is None else draws.full_scene_errors)
    return Catalog(table, calibration, motion_table(scene, to_image, centers), stars, everywhere)


def _add_places(
    table: QTable,
    scene: Scene,
    to_image: PixelAffine,
    centers: Float[np.ndarray, "sample source 2"] | None,
    shapes: Float[np.ndarray, "source 3"],
) -> None:
    """Add where sources are on the first image and on the sky, with errors from draws of their centers."""
    x, y = np.array([s.x for s in scene.sources]), np.array([s.y for s in scene.sources])
    row, column = to_image(y, x)
    table["x"], table["y"] = column * u.pix, row * u.pix
    if centers is not None:
        errors = spread(on_image(centers, to_image)) * u.pix
        table["x_err"], table["y_err"] = errors[:, 0], errors[:, 1]
    row, column = to_image(shapes[:, 1], shapes[:, 0])
    table["centroid_x"], table["centroid_y"] = column * u.pix, row * u.pix
    if scene.grid.wcs is not None:
        ra, dec = scene.grid.wcs.pixel_to_sky(x, y)
        table["ra"], table["dec"] = ra * u.deg, dec * u.deg
        if centers is not None:
            errors = spread(on_sky(centers, scene.grid.wcs)) * u.mas
            table["ra_err"], table["dec_err"] = errors[:, 0], errors[:, 1]
