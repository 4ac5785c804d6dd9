"""A report of a batch in one HTML file that needs nothing else: a map of the field, a table of blends, the worst ones.

What is said of blends and sources goes along as columns of numbers; how they are shown is in `report.html`, `.css` and
`.js` beside this file. Nothing is fetched from elsewhere when it is opened.
"""

from __future__ import annotations

import html
import json
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from astropy.table import QTable

from deblend.batch.report_pictures import SIGMA, pictures_of
from deblend.batch.task import Result
from deblend.batch.tiles import AbstractTile
from deblend.infer import Outcome
from deblend.replacing import replacing

NAME = "report.html"
MOST_PICTURED = 24
"""Blends that are shown with pictures."""
MOST_BLENDS, MOST_SOURCES = 50_000, 200_000
"""What a page can hold and stay quick; of more, those that went wrong and those with the highest χ² are taken."""
CONVERGED, NOT_CONVERGED, FAILED, MENDED = range(4)
"""How blends have ended, as numbers of the page."""
OF_BLENDS = ("failed", "mended", "not_converged")
"""Flags that are said of blends, not of sources."""
COLORS = ("#ffb000", "#4fd1c5", "#b794f4", "#63b3ed", "#a3e635", "#f687b3", "#e2e8f0", "#fb7185")


def write_report(
    folder: Path,
    tiles: Sequence[AbstractTile],
    catalog: QTable,
    results: Sequence[Result],
    mended: Mapping[int, Result],
    numbers: Mapping[str, float],
) -> Path:
    """Write `report.html` into a folder and return its path."""
    ordered = sorted(results, key=_badness)
    shown = sorted(ordered[:MOST_BLENDS], key=lambda result: result.number)
    names = ", ".join(tile.name for tile in tiles[:4]) + (" …" if len(tiles) > 4 else "")
    told = {
        "tiles": [{"name": tile.name, "width": tile.shape[1], "height": tile.shape[0]} for tile in tiles],
        "view": f"deblend view {shlex.quote(str(folder))} --blend ",
        "said": {result.number: result.failure or result.outcome for result in shown},
        "pictures": pictures_of(folder, tiles, ordered[:MOST_PICTURED], mended),
        **_columns(tiles, catalog, shown),
    }
    page = Template(_part("report.html")).substitute(
        title=html.escape(folder.name),
        heading=f"Batch of {html.escape(names)}",
        lead=html.escape(_lead(catalog, len(shown), len(results))),
        cards=_cards(numbers),
        pictured=f"Data, model and what is left, all bands together in units of their noise; what is left from "
        f"-{SIGMA:g} to {SIGMA:g} σ, red where the data are brighter.",
        flags=_flags(catalog),
        style=_part("report.css"),
        script=_part("report.js").replace("// MAP\n", _part("report_map.js")),
        # no text in it can end the element that it is in
        told=json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )
    with replacing(folder / NAME) as part:
        part.write_text(page, "utf-8")
    return folder / NAME


def _part(name: str) -> str:
    return files("deblend.batch").joinpath(name).read_text("utf-8")


def _badness(result: Result) -> tuple[int, float, int]:
    """Return what puts the worst blends first: failures, then those that did not converge, then by χ²."""
    return (not result.failure, -np.nan_to_num(result.chi2, nan=np.inf), result.number)


def _state(result: Result) -> int:
    if result.failure:
        return FAILED
    if result.is_mended:
        return MENDED
    return CONVERGED if Outcome(result.outcome).is_success else NOT_CONVERGED


def _columns(tiles: Sequence[AbstractTile], catalog: QTable, shown: Sequence[Result]) -> dict[str, Any]:
    """Return what the page is told of flags, blends and sources: lists of plain numbers."""
    names = [name for name in _flags_of(catalog) if name.removeprefix("flag_") not in OF_BLENDS]
    bits = np.zeros(len(catalog), int)
    for bit, name in enumerate(names):
        bits |= np.asarray(catalog[name], int) << bit
    of_blend: dict[int, int] = {}
    for number, mine in zip(np.asarray(catalog["blend"]).tolist(), bits.tolist(), strict=True):
        of_blend[number] = of_blend.get(number, 0) | mine
    rows = np.flatnonzero(np.isin(catalog["blend"], [result.number for result in shown]))
    # where there are too many, those with flags stay
    rows = np.sort(rows[np.argsort(bits[rows] == 0, kind="stable")][:MOST_SOURCES])
    number_of = {tile.name: number for number, tile in enumerate(tiles)}
    blends = {
        "number": [r.number for r in shown],
        "tile": [r.tile for r in shown],
        "x": [r.corner[0] for r in shown],
        "y": [r.corner[1] for r in shown],
        "side": [r.side for r in shown],
        "chi2": [round(float(r.chi2), 4) if np.isfinite(r.chi2) else None for r in shown],
        "iterations": [r.iterations for r in shown],
        "sources": [r.n_sources for r in shown],
        "guests": [len(r.guests.get("source", ())) for r in shown],
        "state": [_state(r) for r in shown],
        "flags": [of_blend.get(r.number, 0) for r in shown],
    }
    sources = {
        "tile": [number_of[str(name)] for name in catalog["tile"][rows]],
        "x": np.round(catalog["x"][rows].to_value("pix"), 1).tolist(),
        "y": np.round(catalog["y"][rows].to_value("pix"), 1).tolist(),
        "flags": bits[rows].tolist(),
    }
    flags = [
        {
            "name": name.removeprefix("flag_").replace("_", " "),
            "meaning": catalog[name].info.description or "",
            "count": int(np.count_nonzero(catalog[name])),
            "color": COLORS[k % len(COLORS)],
        }
        for k, name in enumerate(names)
    ]
    return {"blends": blends, "sources": sources, "flags": flags}


def _lead(catalog: QTable, n_shown: int, n_blends: int) -> str:
    software = str(catalog.meta.get("software", ""))
    if n_shown == n_blends:
        return software
    return (
        f"{software}. Of {n_blends:,} blends this page has {n_shown:,}: all that could not be fitted, and those with "
        "the highest chi²; blends.fits has the others."
    )


def _cards(numbers: Mapping[str, float]) -> str:
    shown = [
        ("sources", f"{numbers['n_sources']:,.0f}", False),
        ("blends", f"{numbers['n_blends']:,.0f}", False),
        ("could not be fitted", f"{numbers['n_failed']:,.0f}", numbers["n_failed"] > 0),
        ("did not converge", f"{numbers['n_not_converged']:,.0f}", numbers["n_not_converged"] > 0),
        ("median χ² per pixel", f"{numbers['median_chi2']:.3f}", False),
        ("guests", f"{numbers['n_guests']:,.0f}", False),
    ]
    if "border_scatter_in_errors" in numbers:
        shown.append(("errors, fluxes across borders differ", f"{numbers['border_scatter_in_errors']:.2f}", False))
    return "".join(
        f'<div class="card{" bad" * bad}"><b>{value}</b><span>{name}</span></div>' for name, value, bad in shown
    )


def _flags_of(catalog: QTable) -> list[str]:
    return [name for name in catalog.colnames if name.startswith("flag_")]


def _flags(catalog: QTable) -> str:
    rows = ["<tr><th>flag<th class=n>sources<th class=n><th>meaning</tr>"]
    for name in _flags_of(catalog):
        count = int(np.count_nonzero(catalog[name]))
        share = 100.0 * count / max(len(catalog), 1)
        meaning = html.escape(catalog[name].info.description or "")
        rows.append(
            f"<tr><td><code>{name}</code><td class=n>{count:,}<td class=n>{share:.1f} %<td class=wide>{meaning}</tr>"
        )
    return "".join(rows)
