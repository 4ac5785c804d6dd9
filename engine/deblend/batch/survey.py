"""One detection over a whole field: piece by piece, so that memory does not grow with it.

Each piece is read with sky around it; what two pieces, or two tiles, see of the same sky counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from deblend.batch.once import counted_once
from deblend.batch.pieces import Piece, pieces_of
from deblend.batch.tiles import AbstractTile
from deblend.detect import DEFAULT_METHOD, Method, Stack, box_radius, find_peaks, footprints, stacked
from deblend.observe import Observation
from deblend.sky import PixelGrid

SAME = 1.0
"""Within this of each other, what two pieces or tiles have found is one source [pix, or half the width of the PSF]."""

Progress = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Sources:
    """What was found in a field, each source once in every tile that sees it; a row per source."""

    tile: Int[np.ndarray, " source"]
    x: Float[np.ndarray, " source"]
    """0-based pixels of its tile."""
    y: Float[np.ndarray, " source"]
    snr: Float[np.ndarray, " source"]
    """Of a point source there, over all bands."""
    reach: Int[np.ndarray, " source"]
    """How far its light reaches [pix]."""
    group: Int[np.ndarray, " source"]
    """Number of its group: sources of one tile whose footprints touch, directly or through others."""
    owned: Bool[np.ndarray, " source"]
    """Whether it is the one that counts of those that several tiles see."""

    def __len__(self) -> int:
        return len(self.x)


def found_in(
    tiles: Sequence[AbstractTile],
    threshold: float = 5.0,
    method: Method = DEFAULT_METHOD,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], object] = lambda sentence: None,
) -> Sources:
    """Return the sources of a field.

    `progress` is told how many of how many pieces were looked at; `note` what was assumed when they were read.

    Raises
    ------
    ValueError
        Where a tile cannot be read, or where several tiles lie nowhere on the sky.
    """
    pieces = [(number, piece) for number, tile in enumerate(tiles) for piece in pieces_of(tile.shape)]
    found: list[list[_Found]] = [[] for _ in tiles]
    said: set[str] = set()
    grids: dict[int, PixelGrid] = {}
    refused: dict[int, str] = {}
    for done, (number, piece) in enumerate(pieces):
        try:
            observations = tiles[number].piece(piece.box)
        except ValueError as error:
            # some pieces of a mosaic no exposure has seen; where all are like that, something else is wrong
            refused[number] = str(error)
            progress(done + 1, len(pieces))
            continue
        for sentence in (s for o in observations for s in o.notes if not _is_of_the_piece(s)):
            if sentence not in said:
                said.add(sentence)
                note(sentence)
        found[number].append(_found(observations, piece, tiles[number].shape, threshold, method))
        wcs = observations[0].wcs
        if wcs is not None:
            grids[number] = PixelGrid(tiles[number].shape, wcs.shifted(-piece.box.x[0], -piece.box.y[0]))
        elif len(tiles) > 1:
            raise ValueError(
                f"{tiles[number].name}: has no WCS, so it cannot be told which of its sources other tiles see, too; "
                "give each tile a batch of its own."
            )
        progress(done + 1, len(pieces))
    for number, sentence in refused.items():
        if not found[number]:
            raise ValueError(sentence)
        note(f"{sentence} No sources are sought in that piece of the field.")
    of_tiles = [_joined(parts) for parts in found]
    owned = _owned(of_tiles, [grids[k] for k in range(len(tiles))] if len(tiles) > 1 else [])
    tile = np.repeat(np.arange(len(tiles)), [len(each.x) for each in of_tiles])
    first_group = np.cumsum([0, *(each.group.max(initial=-1) + 1 for each in of_tiles)])
    group = np.concatenate([each.group + start for each, start in zip(of_tiles, first_group, strict=False)])
    x, y, snr, reach = (np.concatenate([getattr(e, name) for e in of_tiles]) for name in ("x", "y", "snr", "reach"))
    return Sources(tile, x, y, snr, reach.astype(int), group, owned)


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found in one piece, or in the pieces of one tile."""

    x: Float[np.ndarray, " source"]
    y: Float[np.ndarray, " source"]
    snr: Float[np.ndarray, " source"]
    reach: Int[np.ndarray, " source"]
    group: Int[np.ndarray, " source"]
    depth: Float[np.ndarray, " source"]
    """How far inside of the piece's core [pix]."""
    ra: Float[np.ndarray, " source"]
    dec: Float[np.ndarray, " source"]
    width: float
    """Of the PSF, as a Gaussian's [arcsec]; 0 without a place on the sky."""


def _is_of_the_piece(sentence: str) -> bool:
    return "only a piece is read" in sentence or "cut out at" in sentence


def _found(
    observations: Sequence[Observation], piece: Piece, shape: tuple[int, int], threshold: float, method: Method
) -> _Found:
    """Return the peaks of a piece, how far their light reaches, and which of them share a footprint."""
    stack = stacked(observations)
    peaks = find_peaks(observations, threshold, method)
    x, y = peaks.x + piece.box.x[0], peaks.y + piece.box.y[0]
    reach = np.array([box_radius(stack.signal_to_noise, *place) for place in zip(peaks.x, peaks.y, strict=True)], int)
    wcs = observations[0].wcs
    ra, dec = (np.full(len(x), np.nan),) * 2 if wcs is None else wcs.pixel_to_sky(peaks.x, peaks.y)
    width = 0.0 if wcs is None else stack.psf_sigma * wcs.pixel_scale
    depth = piece.depth(x, y, shape)
    return _Found(x, y, peaks.snr, reach, _labels(stack, peaks.x, peaks.y), depth, ra, dec, width)


def _labels(stack: Stack, x: np.ndarray, y: np.ndarray) -> Int[np.ndarray, " source"]:
    """Return the number of the footprint that each place is on; those on none have numbers of their own."""
    labels = footprints(stack).labels
    height, width = labels.shape
    rows = np.clip(np.floor(y + 0.5).astype(int), 0, height - 1)
    columns = np.clip(np.floor(x + 0.5).astype(int), 0, width - 1)
    own = labels[rows, columns]
    result: Int[np.ndarray, " source"] = np.where(own > 0, own, labels.max() + 1 + np.arange(len(x)))
    return result


def _joined(parts: Sequence[_Found]) -> _Found:
    """Return what was found in all pieces of a tile, each source once, from the upper rows on."""
    x, y, snr, reach, depth, ra, dec = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "snr", "reach", "depth", "ra", "dec")
    )
    part = np.repeat(np.arange(len(parts)), [len(p.x) for p in parts])
    starts = np.cumsum([0, *(p.group.max(initial=-1) + 1 for p in parts)])
    label = np.concatenate([p.group + start for p, start in zip(parts, starts, strict=False)])
    places = np.column_stack([x, y])
    # cores share a tile out, so that who is inside of one is outside of all others
    counts = counted_once(places, part, depth, SAME)
    group = _groups(places, label, counts)
    rows = np.flatnonzero(counts)
    rows = rows[np.lexsort((x[rows], y[rows]))]
    width = max((p.width for p in parts), default=0.0)
    of_source = {"x": x, "y": y, "snr": snr, "reach": reach, "group": group, "depth": depth, "ra": ra, "dec": dec}
    return _Found(width=width, **{name: array[rows] for name, array in of_source.items()})


def _groups(places: np.ndarray, label: np.ndarray, counts: np.ndarray) -> Int[np.ndarray, " source"]:
    """Return the group of every place: those of one label, and those that are one source in several pieces."""
    n = len(places)
    if not n:
        return np.zeros(0, int)
    order = np.argsort(label, kind="stable")
    same = label[order][1:] == label[order][:-1]
    links = [(order[:-1][same], order[1:][same])]
    kept = np.flatnonzero(counts)
    twins = np.flatnonzero(~counts)
    if len(kept) and len(twins):
        distance, nearest = cKDTree(places[kept]).query(places[twins])
        near = distance <= SAME
        links.append((twins[near], kept[nearest[near]]))
    a, b = (np.concatenate([link[k] for link in links]) for k in (0, 1))
    _, group = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    return np.asarray(group, int)


def _owned(of_tiles: Sequence[_Found], grids: Sequence[PixelGrid]) -> Bool[np.ndarray, " source"]:
    """Tell which sources count of those that several tiles see."""
    if len(of_tiles) == 1:
        return np.ones(len(of_tiles[0].x), bool)
    ra, dec = (np.radians(np.concatenate([getattr(each, name) for each in of_tiles])) for name in ("ra", "dec"))
    part = np.repeat(np.arange(len(grids)), [len(each.x) for each in of_tiles])
    # on the unit sphere, in arcsec: places near each other are so everywhere
    places = np.degrees(np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])) * 3600.0
    depths = np.column_stack([_depth_in(grid, ra, dec) for grid in grids])
    own = depths[np.arange(len(part)), part]
    depths[np.arange(len(part)), part] = -np.inf
    others = depths.max(axis=1, initial=-np.inf)
    radius = SAME * max(each.width for each in of_tiles)
    return counted_once(places, part, own - others, radius)


def _depth_in(grid: PixelGrid, ra: np.ndarray, dec: np.ndarray) -> Float[np.ndarray, " source"]:
    """Return how far inside of a tile places on the sky [rad] lie [arcsec], below 0 outside."""
    (height, width), wcs = grid.shape, grid.wcs
    assert wcs is not None
    x, y = wcs.sky_to_pixel(np.degrees(ra), np.degrees(dec))
    inside = np.min([x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y], axis=0)
    result: Float[np.ndarray, " source"] = inside * wcs.pixel_scale
    return result
