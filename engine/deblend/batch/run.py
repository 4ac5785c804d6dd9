"""A batch: plan, fit what is not yet done, and keep every result as it comes.

batch = Batch(tiles, Path("results"), Settings())
with Processes(2) as workers:
    batch.run(workers)
collect(batch)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from deblend.batch.blends import BOXES, Blend
from deblend.batch.journal import NAME as JOURNAL
from deblend.batch.journal import Journal, results_in
from deblend.batch.pieces import pieces_of
from deblend.batch.plan import Plan, read_plan
from deblend.batch.survey import Progress, found_in
from deblend.batch.task import Result, Task, frame_of, task_of, together
from deblend.batch.tiles import AbstractTile, FileTile
from deblend.batch.workers import AbstractWorkers, Stop
from deblend.detect import DEFAULT_METHOD, Method
from deblend.guard import AnyPath, naming, reason_of
from deblend.infer import FitSettings
from deblend.observe import Observation
from deblend.replacing import replacing
from deblend.sky import Channel, PixelBox

INPUT = "input.json"
CHUNK = 4
"""Blends that are handed out together."""
WORDS = {
    **{"method": "way of detection", "fit": "limit of iterations", "passes": "number of passes"},
    **{"with_errors": "kind of errors", "with_shapes": "kind of errors", "with_shares": "choice of shares"},
}
"""What settings are called for a person, where not by their names."""


@dataclass(frozen=True)
class Settings:
    """What a person decides of a batch."""

    threshold: float = 5.0
    method: Method = DEFAULT_METHOD
    kind: str = "galaxy"
    fit: FitSettings = field(default_factory=FitSettings)
    with_errors: bool = True
    with_shapes: bool = False
    """Whether errors of fluxes have shapes and places marginalised over."""
    with_shares: bool = False
    passes: int = 0
    """How often more sources are looked for in what plain profiles leave over."""


class OtherInputError(ValueError):
    """A folder holds what was made of other images, or with other settings."""


class Batch:
    """A field, what is asked of it, and the folder where what is done is kept."""

    def __init__(
        self,
        tiles: Sequence[AbstractTile],
        folder: AnyPath,
        settings: Settings | None = None,
        note: Callable[[str], object] = lambda sentence: None,
    ) -> None:
        """Begin a batch, or take up the one that the folder holds; `note` is told what was assumed.

        Raises OtherInputError where that one is of other images or settings, ValueError where it cannot be read.
        """
        self.tiles, self.folder = tuple(tiles), Path(folder)
        self.settings = settings or Settings()
        self._note = note
        self._is_same()
        self._plan = read_plan(self.folder)

    @classmethod
    def opened(cls, folder: AnyPath) -> Batch:
        """Return the batch that a folder holds, with the images that it was made of.

        Raises ValueError with a sentence where there is none, or where its images are no longer what they were.
        """
        folder = Path(folder)
        if not (folder / INPUT).is_file():
            raise ValueError(f"{folder}: holds no batch; give the folder of a `deblend batch`.")
        with naming(folder / INPUT, folder):
            said = json.loads((folder / INPUT).read_text("utf-8"))
            tiles = [FileTile(tuple(t["paths"]), t["options"], t["name"]) for t in said["opened"]]
            fields = said["settings"]
            settings = Settings(**{**fields, "fit": FitSettings(**fields["fit"])})
            return cls(tiles, folder, settings)

    @property
    def is_planned(self) -> bool:
        """Whether the folder holds a plan already."""
        return self._plan is not None

    def plan(self, progress: Progress = lambda done, total: None) -> Plan:
        """Return the plan, made now where there is none; `progress` is told how many pieces of the field are read.

        Raises ValueError where the images cannot be read.
        """
        if self._plan is None:
            asked = self.settings
            sources = found_in(self.tiles, asked.threshold, asked.method, progress, self._note)
            names = ("kind", "with_errors", "with_shapes", "with_shares", "passes")
            fields = {"settings": asked.fit, **{name: getattr(asked, name) for name in names}}
            frames = [frame_of(piece, **fields) for piece in self._probes()]
            self._plan = Plan.of(sources, together(frames))
            with replacing(self.folder / INPUT) as part:
                said = [tile.said for tile in self.tiles]
                part.write_text(json.dumps({**self._identity, "opened": said}, indent=1), "utf-8")
            # what was done by another plan means nothing by this one; the plan comes last, since with it all is there
            (self.folder / JOURNAL).unlink(missing_ok=True)
            self._plan.write(self.folder)
        return self._plan

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Of every tile."""
        return self.plan().frame.channels

    def done(self) -> set[int]:
        """Return the numbers of the blends that are done."""
        return {result.number for result in results_in(self.folder, with_models=False)}

    def run(
        self,
        workers: AbstractWorkers,
        progress: Callable[[Result], object] = lambda result: None,
        stop: Stop = lambda: False,
    ) -> bool:
        """Fit the blends that are not yet done; return whether all of them are now.

        `progress` gets each result as it comes; once `stop` says so, nothing new is begun.
        """
        plan, done = self.plan(), self.done()
        left = [blend for blend in plan.blends if blend.number not in done]
        with Journal(self.folder) as journal:
            for result in workers.results(self._chunks(left), plan.frame, stop):
                if result.number not in done:
                    journal.keep(result)
                    done.add(result.number)
                    progress(result)
        return len(done) == len(plan.blends)

    def tasks(self, blends: Sequence[Blend]) -> Iterator[Task]:
        """Yield blends as tasks, piece of the field by piece, so that each is read once.

        What is read of a piece is the same whichever of its blends are asked for: where no weights come with the
        images, their noise is measured in it, and a batch that goes on has to go on with the same.
        """
        sources, wanted = self.plan().sources, {blend.number for blend in blends}
        for number, tile in enumerate(self.tiles):
            mine = [blend for blend in self.plan().blends if blend.tile == number]
            for piece in pieces_of(tile.shape):
                within = [blend for blend in mine if _is_in(piece.core, blend.box, tile.shape)]
                inside = [blend for blend in within if blend.number in wanted]
                if not inside:
                    continue
                read = _around(within, tile.shape)
                try:
                    observations = tile.piece(read)
                except ValueError as error:
                    yield from (Task.failed(blend, str(error)) for blend in inside)
                    continue
                for blend in inside:
                    yield task_of(blend, sources, observations, read)

    def _probes(self) -> Iterator[tuple[Observation, ...]]:
        """Yield pieces from the middle and near the corners of every tile, where its PSF is looked at."""
        for tile in self.tiles:
            (height, width), size, refused, count = tile.shape, 2 * BOXES[0], "", 0
            for x, y in ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9)):
                box = PixelBox.around(width * x, height * y, size).within(tile.shape)
                assert box is not None
                try:
                    yield tile.piece(box)
                except ValueError as error:
                    # some of a mosaic's corners no exposure has seen
                    refused = str(error)
                else:
                    count += 1
            if not count:
                raise ValueError(refused)

    def _chunks(self, blends: Sequence[Blend]) -> Iterator[tuple[Task, ...]]:
        chunk: list[Task] = []
        for task in self.tasks(blends):
            chunk.append(task)
            if len(chunk) == CHUNK:
                yield tuple(chunk)
                chunk = []
        if chunk:
            yield tuple(chunk)

    @property
    def _identity(self) -> dict[str, Any]:
        settings = json.loads(json.dumps(asdict(self.settings), default=_plain))
        return {"tiles": [tile.identity for tile in self.tiles], "settings": settings}

    def _is_same(self) -> None:
        path = self.folder / INPUT
        if not path.is_file():
            return
        try:
            before = json.loads(path.read_text("utf-8"))
            kept = {name: before[name] for name in ("tiles", "settings")}
            settings = dict(kept["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: cannot be read ({reason_of(error)}); remove the folder, or give another --out."
            ) from error
        now = self._identity
        if kept["tiles"] != now["tiles"]:
            raise OtherInputError(
                f"{self.folder}: holds a batch of other images; give another --out, or remove that folder."
            )
        # what an older version did not know was as it is where nothing is said
        known = {**json.loads(json.dumps(asdict(Settings()), default=_plain)), **settings}
        changed = {WORDS.get(name, name): None for name, value in now["settings"].items() if known[name] != value}
        if changed:
            raise OtherInputError(
                f"{self.folder}: holds a batch that was begun with another {', '.join(changed)}; ask for the same "
                "again to go on with it, give another --out, or remove that folder."
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{value!r} is no setting")


def _is_in(core: PixelBox, box: PixelBox, shape: tuple[int, int]) -> bool:
    """Tell whether the middle of a box lies in a core, or next to it beyond the edge of the tile."""
    height, width = shape
    middles = min(max(sum(box.x) // 2, 0), width - 1), min(max(sum(box.y) // 2, 0), height - 1)
    return all(low <= place < high for place, (low, high) in zip(middles, (core.x, core.y), strict=True))


def _around(blends: Sequence[Blend], shape: tuple[int, int]) -> PixelBox:
    """Return the box that holds all of these blends' boxes, cut at the edge of the tile."""
    bounds = np.array([(*blend.box.x, *blend.box.y) for blend in blends])
    low, high = bounds.min(axis=0), bounds.max(axis=0)
    result = PixelBox((int(low[0]), int(high[1])), (int(low[2]), int(high[3]))).within(shape)
    assert result is not None
    return result
