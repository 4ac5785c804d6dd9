"""A damaged file is read in a process that is watched: how long, how much memory, what is opened and run.

What may come of it: an answer, or one sentence that names the file (ValueError or OSError, as commands and window
show them). Whatever else comes is a defect.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from tests.fuzzing.seeds import Seed

LONGEST = 5.0
"""[s of the processor]"""
MOST_MEMORY = 2**30
"""[bytes], on top of what the process had before."""
CODE = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pickle.find_class", "os.fork")
NETWORK = ("socket.connect", "socket.getaddrinfo", "urllib.Request", "socket.bind")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "shutil.rmtree", "os.symlink")


@dataclass(frozen=True)
class Defect:
    """What a damaged file has done that it must not."""

    seed: str
    case: int
    what: str
    trace: str = ""


class _TooLongError(BaseException):
    """Nobody catches this by chance."""


class Watch:
    """Notes what code does that only reads a folder, by Python's audit hooks, which cannot be taken away again."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in CODE or event in NETWORK or event in CHANGES:
            self.seen.append(f"{event} {str(given)[:200]}")
        elif event == "open" and isinstance(given[0], str | bytes):
            name, flags = os.fsdecode(given[0]), given[2]
            if (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.seen.append(f"open to write {name}")
            elif name.startswith("/etc"):
                self.seen.append(f"open {name}")

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        self.folder, self.seen = folder, []
        try:
            yield
        finally:
            self.folder = None


def case_of(seed: Seed, number: int) -> dict[str, bytes]:
    """Return the files of a seed, one of them damaged; the same for the same number."""
    rng = np.random.default_rng([crc32(seed.name.encode()), number])
    files = dict(seed.files)
    name = seed.damaged[number % len(seed.damaged)]
    damage = seed.damage[int(rng.integers(len(seed.damage)))]
    files[name] = damage(files[name], rng)
    return files


def attempt(seed: Seed, number: int, folder: Path, watch: Watch) -> Defect | None:
    """Read one damaged case; return what was wrong with how that went."""
    for name, content in case_of(seed, number).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    seed.sign(folder)
    before, start = _memory(reset=True), time.process_time()
    what = trace = ""
    try:
        with watch.over(folder), warnings.catch_warnings(), _limited():
            warnings.simplefilter("ignore")
            seed.read(folder)
    except (ValueError, OSError) as error:
        said = str(error).strip()
        named = any(Path(name).name.split(".")[0] in said for name in seed.files) or str(folder) in said
        if seed.may_be_empty and not isinstance(error, ValueError):
            what, trace = f"raised {type(error).__name__}: {said[:150]}", traceback.format_exc()
        elif not said or not named or "\n" in said:
            what, trace = f"is no sentence that names the file: {said[:200]!r}", traceback.format_exc()
    except _TooLongError:
        what, trace = "took too long", traceback.format_exc()
    except BaseException as error:
        what, trace = f"raised {type(error).__name__}: {str(error)[:150]}", traceback.format_exc()
    used = _memory() - before
    if not what and watch.seen:
        what = f"did more than read: {watch.seen[0]}"
    if not what and used > MOST_MEMORY:
        what = f"held {used / 2**20:.0f} MB"
    if not what and time.process_time() - start > LONGEST:
        what = "took too long"
    return Defect(seed.name, number, what, trace) if what else None


@contextmanager
def _limited() -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, ring)
    # of the processor: others may use it, too
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def _memory(*, reset: bool = False) -> int:
    """Return the most memory that this process has held [bytes], on Linux since the last reset."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def attempts(seed: Seed, numbers: Sequence[int], folder: Path, watch: Watch) -> Iterator[Defect]:
    """Read cases of a seed, first the whole files, which have to be read without a word."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seed.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed.read(folder)
    for number in numbers:
        defect = attempt(seed, number, folder, watch)
        if defect is not None:
            yield defect
