"""What strangers, full disks and kills do to files, and what files may do: a small part of `benchmarks/fuzz.py`."""

from __future__ import annotations

import ast
import errno
import os
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deblend.cli import main
from deblend.faults import DEVICE, MEMORY, machine_fault
from deblend.guard import naming, unpacked
from deblend.io import (
    Journal,
    cutout_from_text,
    read_journal,
    read_positions,
    read_session,
    write_script,
    write_session,
)
from deblend.io.masks import MaskFile
from deblend.io.psf import profile_psf
from deblend.io.weights import WeightFile
from deblend.replacing import replacing
from tests.conftest import PROJECT
from tests.fuzzing.seeds import Seed, observation, seeds, session
from tests.fuzzing.trials import Defect, Watch, attempts, case_of

KEY = b"\nnapari_deblend:"
CASES = 5
"""Of each kind of file; `benchmarks/fuzz.py` has read 20,000."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> list[Seed]:
    return list(seeds(tmp_path_factory.mktemp("seeds")))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read as Linux tells it")
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_sentences(kinds: list[Seed], tmp_path: Path) -> None:
    """No traceback, no hang, no memory eaten, nothing run, fetched or written."""
    watch = Watch()
    found: list[Defect] = []
    for number, seed in enumerate(kinds):
        found += attempts(seed, range(CASES), tmp_path / str(number), watch)
    assert len(kinds) > 60
    assert not found, "\n".join(f"{d.seed} {d.case}: {d.what}\n{d.trace}" for d in found)


@pytest.mark.filterwarnings("ignore")
def test_the_command_says_one_sentence_of_bad_files(
    kinds: list[Seed], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and one line of the error stream; or 0 where the damage does no harm."""
    statuses = []
    for seed in (kind for kind in kinds if kind.name in ("image", "LSST", "cube", "tiles", "packed .gz", "Roman")):
        for number in range(4):
            for name, content in case_of(seed, number).items():
                (tmp_path / name).write_bytes(content)
                options = ["--psf", "gaussian:3px", "--out", str(tmp_path / "peaks.ecsv"), "-q"]
                statuses.append(main(["detect", str(tmp_path / name), *options]))
            said = capsys.readouterr().err
            assert "Traceback" not in said and statuses[-1] in (0, 2), said
            if statuses[-1] == 2:
                assert said.count("\n") == 1 and said.startswith("deblend: "), said
    assert 2 in statuses


WORDS = st.one_of(
    st.text(max_size=30), st.from_regex(r"(gaussian|moffat|rms|bits)?:?[-0-9.,:e px/@]{0,20}", fullmatch=True)
)


@settings(max_examples=200, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(WORDS)
def test_words_are_understood_or_refused_in_a_sentence(words: str) -> None:
    for read in (cutout_from_text, MaskFile.said, WeightFile.said, lambda said: profile_psf(said, 0.2)):
        try:
            read(words)
        except ValueError as error:
            assert str(error).strip(), words


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.one_of(st.floats(), st.integers(), st.text(max_size=8)), max_size=4), max_size=5))
def test_tables_of_anything_are_positions_or_a_sentence(tmp_path_factory: Any, rows: list[list[Any]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("x,y\n" + "\n".join(",".join(map(str, row)) for row in rows), "utf-8")
    try:
        found = read_positions(path, observation())
        assert np.isfinite(found.x).all() and np.isfinite(found.y).all()
    except ValueError as error:
        assert "any.csv" in str(error)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    """A kilobyte for a megabyte: 400 MB of zeros."""
    made, bomb = zlib.compressobj(9, zlib.DEFLATED, 31), tmp_path / "bomb.fits.gz"
    with bomb.open("wb") as file:
        for _ in range(400):
            file.write(made.compress(bytes(10**6)))
        file.write(made.flush())
    with pytest.raises(ValueError, match=r"bomb\.fits\.gz: its \d+ bytes unpack to more than 300 MB"):
        unpacked(bomb)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("session")
    write_session(folder / "work.asdf", session(folder))
    return (folder / "work.asdf").read_bytes()


def test_a_session_fetches_nothing_and_opens_no_other_file(whole: bytes, tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

        def log_message(self, *_: Any) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/x.asdf"
        try:
            for place in (address, "../../etc/passwd", "file:///etc/passwd"):
                for old, new in (
                    (b"source: 0", f"source: '{place}'"),
                    (b"\nnapari_deblend:", f"\nmore: {{$ref: '{place}#/a'}}\nnapari_deblend:"),
                    (
                        b"\nnapari_deblend:",
                        f"\nmore: !core/externalarray-1.0.0 {{fileuri: '{place}'}}\nnapari_deblend:",
                    ),
                ):
                    path = tmp_path / "work.asdf"
                    assert old in whole
                    path.write_bytes(whole.replace(old, new.encode(), 1))
                    with pytest.raises(ValueError, match=r"work\.asdf: .*points to another file"):
                        read_session(path)
        finally:
            server.shutdown()
            thread.join()
    assert asked == []


def test_a_session_of_a_stranger_runs_nothing(whole: bytes, tmp_path: Path) -> None:
    """Tags of Python are refused, trees that name themselves end, and names do not get out of an exported script."""
    path = tmp_path / "work.asdf"
    for tag in ("!<tag:yaml.org,2002:python/object/apply:os.system> ['touch run']", "!fits/fits-1.0.0 []"):
        path.write_bytes(whole.replace(KEY, f"\nmore: {tag}".encode() + KEY, 1))
        with pytest.raises(ValueError, match=r"work\.asdf: cannot be read as a session"):
            read_session(path)
    laughs = "".join(
        f"\nl{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 10)}]" if k else "\nl0: &l0 [1, 1]" for k in range(12)
    )
    path.write_bytes(whole.replace(b"\nnapari_deblend:", f"{laughs}\nnapari_deblend:".encode(), 1))
    with pytest.raises(ValueError, match="name one another without end"):
        read_session(path)
    evil = '""" \n__import__("os").system("touch run") #\\'
    path.write_bytes(whole)
    work = read_session(path)
    named = tuple(type(o)(**{**vars(o), "name": evil}) for o in work.observations)
    source = type(work.scene.sources[0])(**{**vars(work.scene.sources[0]), "id": evil, "name": evil})
    scene = type(work.scene)(**{**vars(work.scene), "sources": (source,)})
    runs = tuple(type(r)(**{**vars(r), "observations": named, "start": scene, "end": scene}) for r in work.runs)
    (script, *_) = write_script(
        tmp_path / "again.py", type(work)(**{**vars(work), "observations": named, "scene": scene, "runs": runs})
    )
    tree = ast.parse(script.read_text("utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "__import__" not in called and "write_session" not in called
    assert not (tmp_path / "run").exists() and not Path("run").exists()


# files ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("name"), move(a, b))[1])
    with replacing(tmp_path / "new" / "a.txt") as part:
        part.write_text("whole")
    assert order[:2] == ["sync", "name"] and (tmp_path / "new" / "a.txt").read_text() == "whole"


WRITERS = {"write_text", "write_bytes", "writeto", "savefig", "savez", "savez_compressed", "write_to", "save_file"}
ELSEWHERE = ("io/session/journal.py", "io/session/ledger.py", "batch/journal.py", "batch/collect.py", "samp.py")
"""What is appended to, filled in place inside of `replacing`, or temporary."""


def test_no_file_is_written_in_its_own_place() -> None:
    """Whatever writes is called within `replacing`, or hands its bytes to a function that does."""
    found = []
    files = [*(PROJECT / "engine" / "deblend").rglob("*.py"), *(PROJECT / "napari_deblend").rglob("*.py")]
    for path in files:
        if str(path).endswith(ELSEWHERE):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        safe: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.With) and any("replacing(" in ast.unparse(item) for item in node.items):
                safe |= set(ast.walk(node))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
                into_memory = any(isinstance(a, ast.Name) and a.id in ("data", "content") for a in node.args[:1])
                if node not in safe and not into_memory:
                    found.append(f"{path.name}:{node.lineno} {ast.unparse(node)[:60]}")
    assert not found


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: bytes
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "work.asdf"
    path.write_bytes(whole)
    work = read_session(path)
    (tmp_path / "out").mkdir()
    with Journal(tmp_path / "journal") as journal:
        journal.keep(work)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                write_session(path, work)
            with pytest.raises(OSError, match="No space left"):
                journal.keep(type(work)(**{**vars(work), "selection": ()}))
            assert main(["export", str(path), "--script", "--no-errors", "-q", "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert "the disk is full; make room, or choose another place" in said.lower() and "Traceback" not in said
        assert path.read_bytes() == whole and not list((tmp_path / "out").iterdir())
        last = read_journal(tmp_path / "journal")
        assert last is not None
        # once there is room again the journal goes on, whatever was half written
        journal.keep(type(work)(**{**vars(work), "rounds": 3}))
    kept = read_journal(tmp_path / "journal")
    assert kept is not None and kept.rounds == 3


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."), MEMORY),
        (RuntimeError("INTERNAL: CUDA_ERROR_LAUNCH_FAILED"), DEVICE),
        (OSError(errno.ENOSPC, "No space left on device", "a.fits"), "a.fits: the disk is full; make room, or"),
        (RuntimeError("something else"), None),
        (KeyError("x"), None),
    ],
)
def test_what_a_machine_cannot_do_is_told_from_a_fault(error: Exception, said: str | None) -> None:
    found = machine_fault(error)
    assert found is None if said is None else found is not None and found.startswith(said)


def test_what_goes_wrong_with_a_file_names_it() -> None:
    with (
        pytest.raises(ValueError, match=r"a\.fits: cannot be read \(there is no 'CRVAL1'\); it may be damaged"),
        naming("a.fits"),
    ):
        raise KeyError("CRVAL1")
    with pytest.raises(ValueError, match=r"^b\.fits: is none\.$"), naming("a.fits", "b.fits"):
        raise ValueError("b.fits: is none.")
    with pytest.raises(ValueError, match=r"a\.fits: asks for more memory than there is"), naming("a.fits"):
        raise MemoryError
