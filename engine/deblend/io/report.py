"""A report of a scene on pages: data, model and residual of every observation in color, with numbered sources; the
curve of the fit; the main columns of the catalog; and all that was assumed.

Drawn by matplotlib without a window. A PDF has all pages; a PNG has the first one, or a file each where there are more.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from deblend.guard import AnyPath
from deblend.io.results import Seen
from deblend.observe import Observation, find_passband
from deblend.replacing import replacing
from deblend.scene import Scene
from deblend.sky import Channel

if TYPE_CHECKING:
    from astropy.table import QTable
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = (11.7, 8.3)
"""A4, landscape [inch]."""
DPI = 150
ROWS = 34
"""Of the catalog on a page."""
LINES = 46
"""Of notes on a page."""
WIDTH = 130
"""Of a line of notes [characters]."""
MOST_LABELS = 80
"""Where there are more sources, they are marked without numbers."""
SIGMA = 5.0
"""Where the colors of residuals end [sigma]."""


def write_report(
    path: AnyPath,
    observations: Sequence[Observation],
    seen: Seen,
    table: QTable,
    curve: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> list[Path]:
    """Write a report as PDF or PNG, by the path's suffix; return the paths that were written.

    `curve` is χ² per pixel of the start and of every iteration. Raises ValueError with a sentence for another suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".pdf", ".png"):
        raise ValueError(f"A report is written as .pdf or .png; the name {path.name!r} ends in neither.")
    # here, since most who read and write files never draw a page
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import PdfPages

    pages = [_pictures(observation, k, seen) for k, observation in enumerate(observations)]
    pages += _tables(table)
    pages += _words([*_summary(observations, seen.scene, curve), *notes], curve)
    if suffix == ".pdf":
        with replacing(path) as part, PdfPages(part) as pdf:
            for page in pages:
                pdf.savefig(page)
        return [path]
    names = [path, *(path.with_name(f"{path.stem}_{k}.png") for k in range(2, len(pages) + 1))]
    for name, page in zip(names, pages, strict=True):
        FigureCanvasAgg(page)
        with replacing(name) as part:
            page.savefig(part, format="png", dpi=DPI)
    return names


def _pictures(observation: Observation, k: int, seen: Seen) -> Figure:
    """Return the page of one observation."""
    figure = _page(f"{observation.name}: {', '.join(channel.name for channel in observation.channels)}")
    model = np.asarray(seen.model(k), float)
    data = np.where(observation.weights > 0, observation.images, model)
    residual = (observation.images - model) * np.sqrt(observation.weights)
    axes = figure.subplots(1, 3, gridspec_kw={"left": 0.05, "right": 0.98, "bottom": 0.12, "top": 0.9, "wspace": 0.12})
    mix = _mix(data, observation)
    for axis, title, cube in zip(axes, ("data", "model"), (data, model), strict=False):
        axis.imshow(mix(cube), origin="lower", interpolation="nearest")
        axis.set_title(title)
    count = np.maximum((observation.weights > 0).sum(axis=0), 1)
    shown = axes[2].imshow(
        residual.sum(axis=0) / np.sqrt(count), origin="lower", cmap="RdBu_r", vmin=-SIGMA, vmax=SIGMA
    )
    axes[2].set_title("residual, all bands [σ]")
    bar = figure.colorbar(shown, cax=axes[2].inset_axes((0.0, -0.16, 1.0, 0.03)), orientation="horizontal")
    bar.ax.tick_params(labelsize=7)
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.set_xlabel("x [px]", fontsize=8)
    axes[0].set_ylabel("y [px]", fontsize=8)
    _mark(axes[0], seen.scene, observation, is_named=True)
    _mark(axes[2], seen.scene, observation, is_named=False)
    return figure


def _mark(axis: Axes, scene: Scene, observation: Observation, is_named: bool) -> None:
    """Mark the sources, with their names where there are not too many."""
    if not scene.sources:
        return
    y, x = scene.grid.affine_to(observation.grid)(
        np.array([s.y for s in scene.sources]), np.array([s.x for s in scene.sources])
    )
    height, width = observation.shape
    axis.plot(x, y, "o", mfc="none", mec="#00e5ff" if is_named else "black", ms=5, mew=0.7)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(-0.5, height - 0.5)
    if is_named and len(scene.sources) <= MOST_LABELS:
        for source, column, row in zip(scene.sources, x, y, strict=True):
            if -0.5 <= column <= width and -0.5 <= row <= height:
                axis.annotate(source.name, (column, row), (4, 3), textcoords="offset points", color="white", fontsize=7)


def _mix(data: Float[np.ndarray, "band y x"], observation: Observation) -> Any:
    """Return the function from bands to a color composite (Lupton et al. 2004), its stretch made for the data."""
    order = np.argsort([_wavelength(channel, k) for k, channel in enumerate(observation.channels)], kind="stable")
    thirds = np.array_split(order, 3) if len(data) >= 3 else [order] * 3
    good = observation.weights > 0
    pairs = zip(observation.weights, good, strict=True)
    noise = np.array([1.0 / np.sqrt(np.median(w[g])) if g.any() else 1.0 for w, g in pairs])

    def planes(cube: Float[np.ndarray, "band y x"]) -> list[np.ndarray]:
        # red first; in units of the noise, so that no band drowns the others
        return [np.mean(cube[part] / noise[part, None, None], axis=0) for part in reversed(thirds)]

    mean = np.mean(planes(data), axis=0)
    top, bright = float(np.percentile(mean, 99.5)), mean > max(3.0, float(np.percentile(mean, 90.0)))
    light = np.array([plane[bright].sum() for plane in planes(data)]) if bright.any() else np.ones(3)
    # the mean color of the light is white
    balance = np.where(light > 0, light.mean() / np.maximum(light, 1e-30), 1.0)

    def mix(cube: Float[np.ndarray, "band y x"]) -> np.ndarray:
        red, green, blue = (factor * plane for factor, plane in zip(balance, planes(cube), strict=True))
        from astropy.visualization import make_lupton_rgb

        return np.asarray(make_lupton_rgb(red, green, blue, minimum=-1.0, stretch=max(top / 3, 3.0), Q=6))

    return mix


def _wavelength(channel: Channel, place: int) -> float:
    """Return where a channel lies [Å]; behind all others, in the order that is given, where that is not known."""
    try:
        passband = find_passband(channel.survey, channel.band)
    except ValueError:
        return 1e9 + place
    return float(passband.pivot)


def _tables(table: QTable) -> list[Figure]:
    """Return pages of the catalog's main columns."""
    fluxes = [n for n in table.colnames if n.startswith("flux_") and not n.startswith(("flux_err_", "flux_shared_"))]
    columns = [n for n in ("name", "kind", "x", "y", "ra", "dec") if n in table.colnames]
    columns += [*fluxes[:6], *(n for n in ("half_light_radius", "snr", "blendedness") if n in table.colnames)]
    pages = []
    for first in range(0, len(table), ROWS):
        rows = table[first : first + ROWS]
        figure = _page("Catalog" if first == 0 else "Catalog, continued")
        axis = figure.subplots()
        axis.axis("off")
        cells = [[_cell(row, name, f"flux_err_{name.removeprefix('flux_')}") for name in columns] for row in rows]
        drawn = axis.table(cells, colLabels=[_title(table, n) for n in columns], loc="upper center", edges="horizontal")
        drawn.auto_set_font_size(False)
        drawn.set_fontsize(7)
        for column in range(len(columns)):
            drawn[0, column].set_height(2.2 * drawn[0, column].get_height())
        drawn.auto_set_column_width(list(range(len(columns))))
        pages.append(figure)
    return pages


def _title(table: QTable, name: str) -> str:
    unit = getattr(table[name], "unit", None)
    return f"{name.removeprefix('flux_')}\n[{unit}]" if unit else name.replace("half_light_radius", "half light")


def _cell(row: Any, name: str, error: str) -> str:
    value = row[name]
    if name in ("name", "kind"):
        return str(value)
    number = float(getattr(value, "value", value))
    if name in ("ra", "dec"):
        return f"{number:.6f}"
    is_short = name in ("x", "y", "half_light_radius", "blendedness")
    said = f"{number:.2f}" if is_short else f"{number:.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    if name.startswith("flux_") and error in row.colnames:
        return f"{said} ± {float(row[error].value):.2g}"
    return said


def _summary(observations: Sequence[Observation], scene: Scene, curve: Sequence[float]) -> list[str]:
    images = "1 observation" if len(observations) == 1 else f"{len(observations)} observations"
    said = [f"{len(scene)} sources on {images}."]
    if len(curve):
        said.append(f"Best χ² per pixel {min(curve):.4f} after {len(curve) - 1} iterations, from {curve[0]:.4f}.")
    for observation in observations:
        said += observation.notes
    return said


def _words(sentences: Sequence[str], curve: Sequence[float]) -> list[Figure]:
    """Return pages of what was assumed, with the curve of the fit on the first one."""
    lines = [line for each in sentences for line in textwrap.wrap(f"• {each}", WIDTH, subsequent_indent="   ")]
    pages: list[Figure] = []
    room = LINES - (22 if len(curve) else 0)
    while lines or not pages:
        figure = _page("Fit and assumptions" if not pages else "Assumptions, continued")
        if len(curve) and not pages:
            axis = figure.add_axes((0.08, 0.56, 0.86, 0.33))
            axis.semilogy(range(len(curve)), curve, "o-", ms=3, color="#1f7a99")
            axis.axhline(1.0, color="gray", ls="--", lw=0.8)
            axis.set_xlabel("iteration")
            axis.set_ylabel("χ² per pixel")
        figure.text(0.06, 0.48 if len(curve) and not pages else 0.9, "\n".join(lines[:room]), va="top", fontsize=8)
        lines, room = lines[room:], LINES
        pages.append(figure)
    return pages


def _page(title: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=PAGE)
    figure.suptitle(title, fontsize=12)
    return figure
