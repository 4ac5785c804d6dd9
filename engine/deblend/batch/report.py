"""A report of a batch in one HTML file that needs nothing else: maps of the field, failures, and the worst blends.

Pictures are drawn by matplotlib without a window, and are inside of the file.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable
from jaxtyping import Float

from deblend.batch.journal import results_in
from deblend.batch.task import Result
from deblend.batch.tiles import AbstractTile
from deblend.detect import stacked
from deblend.replacing import replacing
from deblend.sky import PixelBox

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "report.html"
MOST_WORST = 12
"""Blends that are shown with pictures."""
MOST_ROWS = 40
"""Failures that are listed."""
SIGMA = 5.0
"""Where the colors of residuals end [sigma]."""
CHI2_RANGE = 0.5, 2.0
"""Where the colors of the map of χ² end."""
MANY = 2000
"""Sources of a tile from which on they are drawn as small as can be."""
DPI = 110
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; background: #f6f7f9; margin: 0 auto; max-width: 1080px;
       padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p.lead { margin: 0 0 1.2rem; color: #55606f; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; }
.card { background: #fff; border: 1px solid #dde2e8; border-radius: .5rem; padding: .7rem 1rem; min-width: 7.5rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; } .card span { color: #55606f; }
.bad b { color: #b3261e; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .row img { max-width: 100%; height: auto; }
table { border-collapse: collapse; background: #fff; } th, td { text-align: left; padding: .3rem .8rem;
       border-bottom: 1px solid #e4e8ed; vertical-align: top; } td.n { text-align: right;
       font-variant-numeric: tabular-nums; }
.blend { background: #fff; border: 1px solid #dde2e8; border-radius: .5rem; padding: .7rem .9rem; }
code { background: #eceff3; border-radius: .25rem; padding: .05rem .35rem; font-size: .9em; }
"""


@dataclass(frozen=True, eq=False)
class Seen:
    """A blend as its report shows it, in units of the noise of all bands together."""

    result: Result
    data: Float[np.ndarray, "y x"]
    model: Float[np.ndarray, "y x"]
    """Light of all blends that reach into the box."""


def write_report(
    folder: Path,
    tiles: Sequence[AbstractTile],
    catalog: QTable,
    results: Sequence[Result],
    mended: Mapping[int, Result],
    numbers: Mapping[str, float],
) -> Path:
    """Write `report.html` into a folder and return its path."""
    fitted = [result for result in results if not result.failure]
    worst = sorted(fitted, key=lambda result: (-result.chi2, result.number))[:MOST_WORST]
    parts = [
        "<h1>Batch of " + html.escape(", ".join(tile.name for tile in tiles[:4]) + (" …" if len(tiles) > 4 else "")),
        f"</h1><p class=lead>{html.escape(str(catalog.meta.get('software', '')))}</p>",
        _cards(numbers),
        *(_map_of(tile, number, catalog, results) for number, tile in enumerate(tiles)),
        "<h2>How the fits ended</h2><div class=row>",
        _image(_histograms(fitted), "Histograms of chi² per pixel and of iterations"),
        "</div>",
        _flags(catalog),
        _failures(results, tiles),
        f"<h2>Blends with the highest chi²</h2><p class=lead>Data, model and what is left, all bands together in units "
        f"of their noise; residuals from -{SIGMA:g} to {SIGMA:g} σ, red where the data are brighter.</p>",
        "<div class=row>",
        *(_blend(seen, tiles, folder) for seen in _seen(folder, tiles, worst, mended)),
        "</div>",
    ]
    title = f"<title>deblend batch: {html.escape(folder.name)}</title>"
    head = f"<!doctype html><html lang=en><meta charset=utf-8>{title}<style>{STYLE}</style>"
    with replacing(folder / NAME) as part:
        part.write_text(head + "\n".join(parts) + "</html>\n", "utf-8")
    return folder / NAME


def _cards(numbers: Mapping[str, float]) -> str:
    shown = [
        ("sources", f"{numbers['n_sources']:,.0f}", False),
        ("blends", f"{numbers['n_blends']:,.0f}", False),
        ("could not be fitted", f"{numbers['n_failed']:,.0f}", numbers["n_failed"] > 0),
        ("did not converge", f"{numbers['n_not_converged']:,.0f}", numbers["n_not_converged"] > 0),
        ("median chi² per pixel", f"{numbers['median_chi2']:.3f}", False),
        ("guests", f"{numbers['n_guests']:,.0f}", False),
    ]
    if "border_scatter_in_errors" in numbers:
        shown.append(("fluxes across borders differ by [errors]", f"{numbers['border_scatter_in_errors']:.2f}", False))
    cards = (f'<div class="card{" bad" * bad}"><b>{value}</b><span>{name}</span></div>' for name, value, bad in shown)
    return f"<div class=cards>{''.join(cards)}</div>"


def _map_of(tile: AbstractTile, number: int, catalog: QTable, results: Sequence[Result]) -> str:
    """Return maps of chi² and of flags of a tile."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    mine = [result for result in results if result.tile == number]
    fitted = [result for result in mine if not result.failure]
    figure = _figure(10.4, 5.0)
    left, right = figure.subplots(1, 2)
    boxes = [Rectangle(_corner(result), result.side, result.side) for result in fitted]
    drawn = PatchCollection(boxes, cmap="coolwarm", linewidth=0)
    drawn.set_array(np.log([result.chi2 for result in fitted]))
    drawn.set_clim(*np.log(CHI2_RANGE))
    left.add_collection(drawn)
    bar = figure.colorbar(drawn, ax=left, fraction=0.046, pad=0.03, ticks=np.log([0.5, 0.7, 1.0, 1.4, 2.0]))
    bar.ax.set_yticklabels(["0.5", "0.7", "1", "1.4", "2"])
    left.set_title("chi² per pixel of every blend", fontsize=10)
    here = catalog[catalog["tile"] == tile.name]
    x, y = here["x"].to_value("pix"), here["y"].to_value("pix")
    right.plot(x, y, ".", ms=2.5 if len(here) < MANY else 0.8, color="#9aa5b1")
    flags = [name for name in here.colnames if name.startswith("flag_") and np.any(here[name])]
    for name, color in zip((f for f in flags if f != "flag_failed"), _COLORS, strict=False):
        on = np.asarray(here[name], bool)
        label = f"{name.removeprefix('flag_').replace('_', ' ')} ({np.count_nonzero(on)})"
        right.plot(x[on], y[on], ".", ms=4, color=color, label=label)
    if "flag_failed" in flags:
        on = np.asarray(here["flag_failed"], bool)
        right.plot(x[on], y[on], "x", ms=7, mew=2, color="#b3261e", label=f"not fitted ({np.count_nonzero(on)})")
    right.set_title("sources with flags", fontsize=10)
    if flags:
        right.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=3, frameon=False)
    for axes in (left, right):
        axes.set_xlim(-0.5, tile.shape[1] - 0.5)
        axes.set_ylim(-0.5, tile.shape[0] - 0.5)
        axes.set_aspect("equal")
        axes.set_xlabel("x [pix]", fontsize=9)
        axes.tick_params(labelsize=8)
    left.set_ylabel("y [pix]", fontsize=9)
    text = f"Maps of chi² and of flags over {tile.name}"
    return f"<h2>{html.escape(tile.name)}</h2><div class=row>{_image(figure, text)}</div>"


def _histograms(fitted: Sequence[Result]) -> Figure:
    figure = _figure(10.4, 2.8)
    left, right = figure.subplots(1, 2)
    chi2 = np.array([result.chi2 for result in fitted])
    left.hist(np.clip(chi2, 0.5, 3.0), np.linspace(0.5, 3.0, 51), color="#4a6fa5")
    left.set_yscale("log")
    left.set_xlabel("chi² per pixel (beyond 3 at 3)", fontsize=9)
    iterations = np.array([result.iterations for result in fitted], int)
    right.hist(iterations, np.arange(iterations.max(initial=1) + 2) - 0.5, color="#4a6fa5")
    right.set_yscale("log")
    right.set_xlabel("iterations", fontsize=9)
    for axes in (left, right):
        axes.set_ylabel("blends", fontsize=9)
        axes.tick_params(labelsize=8)
    return figure


def _flags(catalog: QTable) -> str:
    rows = []
    for name in (name for name in catalog.colnames if name.startswith("flag_")):
        count = int(np.count_nonzero(catalog[name]))
        share = 100.0 * count / max(len(catalog), 1)
        meaning = html.escape(catalog[name].info.description or "")
        rows.append(f"<tr><td><code>{name}</code><td class=n>{count:,}<td class=n>{share:.1f} %<td>{meaning}</tr>")
    return f"<h2>Flags</h2><table><tr><th>flag<th>sources<th><th>meaning</tr>{''.join(rows)}</table>"


def _failures(results: Sequence[Result], tiles: Sequence[AbstractTile]) -> str:
    failed = [result for result in results if result.failure]
    if not failed:
        return "<h2>Failures</h2><p>Every blend was fitted.</p>"
    rows = [
        f"<tr><td class=n>{r.number}<td>{html.escape(tiles[r.tile].name)}<td>x {r.corner[0]}, y {r.corner[1]}, "
        f"{r.side} pix<td class=n>{len(r.sources)}<td>{html.escape(r.failure)}</tr>"
        for r in failed[:MOST_ROWS]
    ]
    more = f"<p>{len(failed) - MOST_ROWS} more are in blends.fits.</p>" if len(failed) > MOST_ROWS else ""
    head = "<tr><th>blend<th>tile<th>where<th>sources<th>reason</tr>"
    return f"<h2>Failures</h2><table>{head}{''.join(rows)}</table>{more}"


def _seen(
    folder: Path, tiles: Sequence[AbstractTile], chosen: Sequence[Result], mended: Mapping[int, Result]
) -> list[Seen]:
    """Return chosen blends with the data and the models of their boxes."""
    pictures = {}
    for result in chosen:
        tile = tiles[result.tile]
        within = _box(result).within(tile.shape)
        if within is None:
            continue
        observations = tile.piece(within)
        pictures[result.number] = (result, within, observations, [np.zeros(o.images.shape) for o in observations])
    for kept in results_in(folder):
        other = mended.get(kept.number, kept)
        for result, within, _, models in pictures.values():
            if other.tile == result.tile and other.model is not None:
                _add(models, within, other)
    seen = []
    for result, _, observations, models in pictures.values():
        data, noise = stacked(observations), [np.sqrt(o.weights) for o in observations]
        light = sum((o.weights * m).sum(axis=0) for o, m in zip(observations, models, strict=True))
        total = np.sqrt(sum((w**2).sum(axis=0) for w in noise))
        seen.append(Seen(result, data.signal_to_noise, np.where(total > 0, light / np.where(total > 0, total, 1), 0.0)))
    return seen


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


def _blend(seen: Seen, tiles: Sequence[AbstractTile], folder: Path) -> str:
    figure = _figure(3.3, 1.25)
    highest = max(float(np.percentile(seen.data, 99.5)), 10.0)
    for axes, picture in zip(figure.subplots(1, 3), (seen.data, seen.model), strict=False):
        axes.imshow(np.arcsinh(picture), cmap="gray", origin="lower", vmin=-1.0, vmax=np.arcsinh(highest))
    residual = figure.axes[2]
    residual.imshow(seen.data - seen.model, cmap="coolwarm", origin="lower", vmin=-SIGMA, vmax=SIGMA)
    for axes in figure.axes:
        _bare(axes)
    result = seen.result
    where = f"{tiles[result.tile].name}, x {result.corner[0]}, y {result.corner[1]}"
    said = f"{len(result.sources)} source{'s' * (len(result.sources) != 1)}, {result.iterations} iterations"
    view = f"deblend view {folder} --blend {result.number}"
    return (
        f"<div class=blend><b>Blend {result.number}</b>, chi² {result.chi2:.2f}<br>"
        f"{_image(figure, f'Data, model and residual of blend {result.number}')}<br>"
        f"{html.escape(where)}<br>{said}<br><code>{html.escape(view)}</code></div>"
    )


_COLORS = ("#d98200", "#2f7f5f", "#7a4fb0", "#2a6fdb", "#a0522d", "#c2327a", "#4d4d4d", "#00838f")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=DPI, layout="constrained")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _image(figure: Figure, text: str) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    encoded = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{encoded}">'


def _box(result: Result) -> PixelBox:
    (x0, y0), side = result.corner, result.side
    return PixelBox((x0, x0 + side), (y0, y0 + side))


def _corner(result: Result) -> tuple[float, float]:
    return result.corner[0] - 0.5, result.corner[1] - 0.5
