"""The plan of a batch: the sources of a field and the blends that they are fitted in, made once and kept on disk.

Whoever goes on with a run reads the plan instead of detecting again, so that blends are the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from deblend.batch.blends import Blend, blends_of
from deblend.batch.survey import Sources
from deblend.batch.task import Frame
from deblend.guard import AnyPath, reason_of
from deblend.infer import FitSettings
from deblend.replacing import replacing
from deblend.sky import Channel, PixelBox

NAME = "plan.npz"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be fitted."""

    sources: Sources
    blends: tuple[Blend, ...]
    frame: Frame

    @classmethod
    def of(cls, sources: Sources, frame: Frame) -> Plan:
        return cls(sources, blends_of(sources), frame)

    @property
    def n_owned(self) -> int:
        """How many sources count."""
        return int(np.count_nonzero(self.sources.owned))

    def write(self, folder: AnyPath) -> None:
        """Write the plan into a folder, whole or not at all."""
        of_sources = {f"source_{name}": array for name, array in vars(self.sources).items()}
        of_blends = {
            "blend_tile": np.array([b.tile for b in self.blends], int),
            "blend_box": np.array([(*b.box.x, *b.box.y) for b in self.blends], int).reshape(-1, 4),
        }
        for name in ("owned", "guests"):
            lists = [getattr(b, name) for b in self.blends]
            of_blends[f"blend_{name}"] = np.array([row for rows in lists for row in rows], int)
            of_blends[f"blend_n_{name}"] = np.array([len(rows) for rows in lists], int)
        settings = {name: getattr(value, "value", value) for name, value in asdict(self.frame.settings).items()}
        frame = json.dumps({"version": VERSION, **asdict(self.frame), "settings": settings})
        with replacing(Path(folder) / NAME) as part, part.open("wb") as file:
            np.savez_compressed(file, **{"frame": np.array(frame), **of_sources, **of_blends})


def read_plan(folder: AnyPath) -> Plan | None:
    """Return the plan that a folder holds; None where there is none. Raises ValueError where it cannot be read."""
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        said = json.loads(str(arrays["frame"]))
        if said.pop("version") > VERSION:
            raise ValueError("it was written by a newer version; update the program")
        channels = tuple(Channel(*channel) for channel in said["channels"])
        frame = Frame(**{**said, "channels": channels, "settings": FitSettings(**said["settings"])})
        sources = Sources(**{f.name: arrays[f"source_{f.name}"] for f in fields(Sources)})
        return Plan(sources, tuple(_blends(arrays)), frame)
    except Exception as error:  # archives and headers of NumPy raise whatever their parsers do
        raise ValueError(
            f"{path}: cannot be read ({reason_of(error)}); remove the folder, or give another --out."
        ) from error


def _blends(arrays: dict[str, Any]) -> Sequence[Blend]:
    owned, guests = (_lists(arrays[f"blend_{name}"], arrays[f"blend_n_{name}"]) for name in ("owned", "guests"))
    tiles, boxes = arrays["blend_tile"].tolist(), arrays["blend_box"].tolist()
    return [
        Blend(number, tile, mine, others, PixelBox((x0, x1), (y0, y1)))
        for number, (tile, mine, others, (x0, x1, y0, y1)) in enumerate(zip(tiles, owned, guests, boxes, strict=True))
    ]


def _lists(flat: np.ndarray, counts: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(part.tolist()) for part in np.split(flat, np.cumsum(counts)[:-1])] if len(counts) else []
