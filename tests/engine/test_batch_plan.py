"""Which sources a field has, what is fitted together, and who does it: all that needs nothing compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from scipy.spatial import cKDTree

from deblend import Observation
from deblend.batch import Batch, Cluster, OpenTile, Processes, tiles_of
from deblend.batch.blends import blends_of, shared_out
from deblend.batch.cluster import KILLED
from deblend.batch.once import counted_once
from deblend.batch.pieces import pieces_of
from deblend.batch.survey import Sources, found_in
from deblend.batch.workers import DIED
from deblend.sky import Channel, PixelBox
from tests.conftest import PROJECT
from tests.engine.unread import FRAME, unread

sys.path.insert(0, str(PROJECT / "benchmarks"))
from simulated_field import simulated

SIDE = 224


@pytest.fixture(scope="module")
def observation() -> Observation:
    return simulated(SIDE, seed=5, n_sources=40, bands=2).observation(2)


def test_pieces_and_tiles_see_each_source_once(observation: Observation, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found_in([OpenTile([observation])])
    monkeypatch.setattr("deblend.batch.survey.pieces_of", lambda shape: pieces_of(shape, core=100, overlap=40))
    in_pieces = found_in([OpenTile([observation])])
    wide, narrow = PixelBox((0, SIDE), (0, 140)), PixelBox((0, SIDE), (80, SIDE))
    tiles = [OpenTile([observation.piece(box)], name) for name, box in (("low", wide), ("high", narrow))]
    in_tiles = found_in(tiles)
    places = np.column_stack([whole.x, whole.y])
    of_pieces = np.column_stack([in_pieces.x, in_pieces.y])
    of_tiles = np.column_stack([in_tiles.x, in_tiles.y + np.where(in_tiles.tile == 1, 80, 0)])[in_tiles.owned]
    for found in (of_pieces, of_tiles):
        assert len(found) == len(whole)
        distance, which = cKDTree(places).query(found)
        assert distance.max() < 0.5 and len(set(which.tolist())) == len(whole)
    assert np.count_nonzero(~in_tiles.owned) > 0
    # groups are those of the whole: pieces cut none
    pairs = [{(a, b) for a in range(len(s)) for b in range(a) if s.group[a] == s.group[b]} for s in (whole, in_pieces)]
    assert len(pairs[0]) == len(pairs[1])


def test_a_place_between_two_parts_counts_once() -> None:
    places = np.array([[10.0, 0.0], [10.2, 0.0], [30.0, 0.0], [9.7, 5.0]])
    part, advantage = np.array([0, 1, 1, 1]), np.array([-0.1, 0.1, 20.0, -0.3])
    np.testing.assert_array_equal(counted_once(places, part, advantage, 1.0), [False, True, True, True])


def test_a_large_group_is_split_and_borders_are_seen_from_both_sides() -> None:
    rng = np.random.default_rng(2)
    n = 120
    x, y = rng.uniform(0, 300, n), rng.uniform(0, 90, n)
    zero = np.zeros(n, int)
    sources = Sources(zero, x, y, np.full(n, 20.0), np.full(n, 9), zero, np.ones(n, bool))
    blends = blends_of(sources)
    assert len(blends) > 5
    assert sorted(row for blend in blends for row in blend.owned) == list(range(n))
    for blend in blends:
        rows = np.array(blend.rows)
        assert blend.side <= 104 and len(rows) <= 44
        for places, (low, high) in ((x, blend.box.x), (y, blend.box.y)):
            assert np.all((places[rows] > low - 1) & (places[rows] < high))
        own = np.array(blend.owned)
        touching = np.hypot(x[own][:, None] - x, y[own][:, None] - y).min(axis=0) < 18
        # all that reach in are fitted with it
        assert set(np.flatnonzero(touching)) <= set(blend.rows)


def test_pixels_belong_to_the_source_that_reaches_them_best() -> None:
    box = PixelBox((0, 40), (0, 40))
    args = np.array([10.0, 30.0]), np.array([20.0, 20.0]), np.array([12.0, 12.0])
    others, own = shared_out(box, *args, np.array([True, False]), np.array([True, False]))
    assert others[20, 30] and others[20, 22] and not others[20, 18] and not others[20, 10] and not others[0, 39]
    # what is found later belongs to whom is nearest, also where nobody claims the pixel
    assert own[20, 18] and own[0, 0] and not own[20, 22] and not own[0, 39]
    _, own = shared_out(box, *args, np.array([True, True]), np.array([False, True]))
    assert own[20, 22] and not own[20, 18]


def test_images_of_several_pixels_are_refused(observation: Observation, tmp_path: Path) -> None:
    box = PixelBox((0, 50), (0, 50))
    other = replace(observation.piece(box), name="other", channels=(Channel("other", "g"), Channel("other", "r")))
    coarse = replace(other, wcs=other.wcs.refined(2))  # type: ignore[union-attr]

    class Both(OpenTile):
        def piece(self, box: PixelBox) -> tuple[Observation, ...]:
            from deblend.batch.tiles import on_one_grid

            return on_one_grid(self.name, (observation.piece(box), coarse))

    with pytest.raises(ValueError, match="not on one grid of pixels"):
        found_in([Both([observation])])
    lost = [OpenTile([replace(observation, wcs=None)], name) for name in ("low", "high")]
    with pytest.raises(ValueError, match="has no WCS"):
        found_in(lost)
    with pytest.raises(ValueError, match="no such file"):
        tiles_of([tmp_path / "nothing.fits"], {})


class Done(Future):  # type: ignore[type-arg]
    """A future that has come."""

    def __init__(self, result: Callable[[], Any]) -> None:
        super().__init__()
        try:
            self.set_result(result())
        except BrokenProcessPool as error:
            self.set_exception(error)


def test_a_worker_that_dies_takes_nobody_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a pool: whoever gets the third task dies, and with it all that is in work."""
    pools: list[Any] = []

    class Pool:
        def __init__(self) -> None:
            self.is_broken = False
            pools.append(self)

        def submit(self, function: Any, chunk: Any, frame: Any) -> Any:
            self.is_broken |= any(task.number == 2 for task in chunk)

            def run() -> Any:
                if self.is_broken:
                    raise BrokenProcessPool
                return function(chunk, frame)

            return Done(run)

        def shutdown(self, **_: Any) -> None:
            return None

    monkeypatch.setattr(Processes, "_made", lambda self: Pool())
    with Processes(2) as workers:
        found = list(workers.results([(task,) for task in unread(7)], FRAME, lambda: False))
    assert sorted(result.number for result in found) == list(range(7))
    assert {result.number: result.failure for result in found} == {k: f"unread {k}" for k in range(7)} | {2: DIED}
    assert len(pools) == 3


def test_a_cluster_gets_the_same_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask itself is not asked for: a stand-in runs what is submitted, and whoever gets the second task dies."""

    class Sent:
        def __init__(self, status: str, result: Any) -> None:
            self.status, self.result = status, result

    class Client:
        def __init__(self, where: Any, timeout: float) -> None:
            assert where == "tcp://head:8786"

        def submit(self, function: Any, chunk: Any, frame: Any, pure: bool) -> Any:
            is_lost = any(task.number == 1 for task in chunk)
            return Sent("error" if is_lost else "finished", lambda: function(chunk, frame))

        def scheduler_info(self, n_workers: int) -> dict[str, Any]:
            return {"workers": {"one": None}}

        def close(self) -> None:
            return None

    def wait(futures: list[Any], timeout: float, return_when: str) -> Any:
        assert len(futures) <= 3
        return SimpleNamespace(done=futures[:1])

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Client, wait=wait))
    tasks = unread(4)
    with Cluster("tcp://head:8786") as cluster:
        found = list(cluster.results([tuple(tasks[:2]), tuple(tasks[2:])], FRAME, lambda: False))
    # what was with it is tried again, and is not lost
    assert [result.failure for result in found] == ["unread 2", "unread 3", "unread 0", KILLED]
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match="needs Dask"):
        Cluster("local")


def test_noise_that_is_measured_is_the_same_whichever_blends_are_left(tmp_path: Path) -> None:
    """A batch that goes on reads pieces as it did before: images without weights get the same ones."""
    image = simulated(SIDE, seed=5, n_sources=40, bands=1).observation(1).images[0].astype("f4")
    path = tmp_path / "field.fits"
    fits.PrimaryHDU(image, fits.Header({"FILTER": "i", "BUNIT": "nJy"})).writeto(path)
    batch = Batch(tiles_of([str(path)], {"psf": "gaussian:3px"}), tmp_path / "out")
    blends = batch.plan().blends
    whole, rest = (list(batch.tasks(asked)) for asked in (blends, blends[len(blends) // 2 :]))
    assert len(rest) > 2 and len({float(t.observations[0].weights.max()) for t in whole}) == 1
    for before, now in zip(whole[len(blends) // 2 :], rest, strict=True):
        assert before.number == now.number
        np.testing.assert_array_equal(before.observations[0].weights, now.observations[0].weights)
        np.testing.assert_array_equal(before.observations[0].images, now.observations[0].images)
