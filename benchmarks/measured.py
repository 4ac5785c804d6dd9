"""A row of the table of `bench.py`: what was measured, what it was measured against in the same run, and the limit."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One number next to its limit."""

    part: str
    name: str
    value: float
    unit: str
    """Of the value; empty for a ratio."""
    limit: float
    is_least: bool = False
    """Whether the limit is the least that is good, not the most."""
    of: str = ""
    """What a ratio is made of, with both numbers."""

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    @property
    def use_of_limit(self) -> float:
        """How much of the limit is used: 1 at it, more beyond."""
        return self.limit / max(self.value, 1e-12) if self.is_least else self.value / self.limit


def parser_of(description: str | None, *, of_scene: bool = False) -> argparse.ArgumentParser:
    """Return a parser of what every part takes: a file for its rows, and where it fits a scene the folder of that."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if of_scene:
        parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1] / "sample_data")
    parser.add_argument("--json", type=Path)
    return parser


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


def read(path: Path) -> list[Row]:
    """Return the rows of a file."""
    return [Row(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def concluded(rows: Sequence[Row], path: Path | None) -> int:
    """Print rows, write them where a path is given, and return the exit status: 1 where a limit is missed."""
    for row in rows:
        bound = "at least" if row.is_least else "at most"
        of = f"; {row.of}" if row.of else ""
        print(f"{row.name:60} {row.value:8.2f} {row.unit:3} (goal: {bound} {row.limit:g}{of})")
    if path is not None:
        write(path, rows)
    return int(not all(row.is_met for row in rows))


@contextmanager
def empty_cache() -> Iterator[None]:
    """Have everything compiled anew that is compiled for the first time within."""
    import jax

    before = jax.config.jax_compilation_cache_dir
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        try:
            yield
        finally:
            jax.config.update("jax_compilation_cache_dir", before)
