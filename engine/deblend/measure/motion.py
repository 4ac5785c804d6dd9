"""What moves: where it is at a time, and how fast it goes, in units an astronomer can use."""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.scene import Scene, Source
from deblend.sky import PixelAffine, TangentWcs

MAS_PER_ARCSEC = 1000.0
DAY = u.d


def on_sky(changes: Float[np.ndarray, "*stack 2"], wcs: TangentWcs) -> Float[np.ndarray, "*stack 2"]:
    """Return small changes of (x, y) [pix] as (east, north) on the sky [mas]: along great circles, so that the first
    is the change of right ascension times the cosine of declination."""
    return changes @ np.asarray(wcs.matrix).T * MAS_PER_ARCSEC


def on_image(changes: Float[np.ndarray, "*stack 2"], to_image: PixelAffine) -> Float[np.ndarray, "*stack 2"]:
    """Return small changes of (x, y) [pix] of the scene as those of an image."""
    return changes @ to_image.array[::-1, ::-1].T


def spread(draws: Float[np.ndarray, "sample *stack"]) -> Float[np.ndarray, "*stack"]:
    """Return the standard deviation of draws around zero."""
    return np.sqrt(np.mean(draws**2, axis=0))


def motion_table(
    scene: Scene, to_image: PixelAffine, centers: Float[np.ndarray, "sample source 2"] | None = None
) -> QTable | None:
    """Return one row per moving thing, or None where nothing of the scene moves.

    Columns: `track`, the id that the catalog has too; `name`; `n_epochs`; `time`, the mean of the epochs [d, MJD], at
    which place and rate are independent of each other; `x`, `y` there, 0-based pixels of the first image, and `ra`,
    `dec`; `rate_ra`, `rate_dec` along great circles to east and north [mas/d], or without a WCS `rate_x`, `rate_y`
    along the first image's axes [pix/d]. With `centers`, draws of how far each center may be off as (x, y) [pix of the
    scene], each of the numbers has an `…_err` in pixels, mas or mas/d.
    """
    motions = scene.motions
    if not motions:
        return None
    members = {
        track: [row for row, s in enumerate(scene.sources) if s.track and s.track.id == track] for track in motions
    }
    table = QTable()
    table["track"] = list(motions)
    table["name"] = [common_name([scene.sources[row] for row in members[track]]) for track in motions]
    table["n_epochs"] = [len(members[track]) for track in motions]
    table["time"] = [motion.time for motion in motions.values()] * DAY
    places, rates = (np.array([getattr(m, name) for m in motions.values()]) for name in ("place", "velocity"))
    off = None if centers is None else [_deviations(scene, members[track], centers) for track in motions]
    place_off, rate_off = (None, None) if off is None else (np.stack(part, axis=1) for part in zip(*off, strict=True))
    y, x = to_image(places[:, 1], places[:, 0])
    errors = None if place_off is None else spread(on_image(place_off, to_image))
    _add(table, ("x", "y"), np.stack([x, y], axis=1), errors, u.pix, u.pix)
    wcs = scene.grid.wcs
    if wcs is None:
        errors = None if rate_off is None else spread(on_image(rate_off, to_image))
        _add(table, ("rate_x", "rate_y"), on_image(rates, to_image), errors, u.pix / DAY, u.pix / DAY)
        return table
    errors = None if place_off is None else spread(on_sky(place_off, wcs))
    sky = np.stack(wcs.pixel_to_sky(places[:, 0], places[:, 1]), axis=1)
    _add(table, ("ra", "dec"), sky, errors, u.deg, u.mas)
    errors = None if rate_off is None else spread(on_sky(rate_off, wcs))
    _add(table, ("rate_ra", "rate_dec"), on_sky(rates, wcs), errors, u.mas / DAY, u.mas / DAY)
    return table


def motion_lines(table: QTable) -> list[str]:
    """Return a sentence per moving thing."""
    lines = []
    for row in table:
        is_on_sky = "rate_ra" in row.colnames
        names = ("rate_ra", "rate_dec") if is_on_sky else ("rate_x", "rate_y")
        unit, axes = ("mas/day", "east, north") if is_on_sky else ("px/day", "x, y")
        rates = ", ".join(_said(row, name) for name in names)
        lines.append(f"{row['name']} moves by ({rates}) {unit} ({axes}), seen at {row['n_epochs']} epochs.")
    return lines


def common_name(sources: list[Source]) -> str:
    """Return the words that the names of all epochs of a moving thing begin with; the first name without any."""
    words = [source.name.split() for source in sources]
    shared = []
    for same in zip(*words, strict=False):
        if len(set(same)) > 1:
            break
        shared.append(same[0])
    return " ".join(shared) or sources[0].name


def _deviations(
    scene: Scene, members: list[int], centers: Float[np.ndarray, "sample source 2"]
) -> tuple[Float[np.ndarray, "sample 2"], Float[np.ndarray, "sample 2"]]:
    """Return how far place and velocity of the line through some sources are off in each draw [pix, pix/d]."""
    times = np.array([scene.sources[row].track.time for row in members])  # type: ignore[union-attr]
    since = times - times.mean()
    own = centers[:, members]
    return own.mean(axis=1), np.einsum("e,sek->sk", since, own) / np.sum(since**2)


def _add(
    table: QTable,
    names: tuple[str, str],
    values: Float[np.ndarray, "row 2"],
    errors: Float[np.ndarray, "row 2"] | None,
    unit: u.Unit,
    error_unit: u.Unit,
) -> None:
    for axis, name in enumerate(names):
        table[name] = values[:, axis] * unit
        if errors is not None:
            table[f"{name}_err"] = errors[:, axis] * error_unit


def _said(row: QTable.Row, name: str) -> str:
    value = row[name].value
    if f"{name}_err" not in row.colnames or not row[f"{name}_err"].value > 0:
        return f"{value:.4g}"
    error = row[f"{name}_err"].value
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
