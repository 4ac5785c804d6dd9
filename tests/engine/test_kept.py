"""What is kept on disk runs in the next session; what cannot be used is made anew, and nothing is ever wrong for it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from deblend.program import compiled, kept

NUMBERS = np.arange(4, dtype=np.float32)


def squares(layout: int, x: object) -> object:
    """Something to compile."""
    return {"powers": jnp.asarray(x) ** layout, "sum": jnp.sum(jnp.asarray(x))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "folder", lambda: tmp_path / "programs")
    return tmp_path / "programs"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How often XLA was asked."""
    calls = []
    compile_now = compiled._compile

    def count(*args: object) -> object:
        calls.append(args)
        return compile_now(*args)

    monkeypatch.setattr(compiled, "_compile", count)
    return lambda: len(calls)


def session() -> list[float]:
    """Call the function as a process does that has not called it before."""
    result = compiled.compiled(squares)(2, NUMBERS)
    assert float(result["sum"]) == 6.0
    return np.asarray(result["powers"]).tolist()


def code_of(folder: Path) -> Path:
    (path,) = folder.glob("squares-*.xla")
    return path


def test_the_second_session_compiles_nothing(folder: Path, compilations: Callable[[], int]) -> None:
    assert session() == session() == [0.0, 1.0, 4.0, 9.0]
    assert compilations() == 1
    assert not list(folder.glob(".*")), "a file was left half written"


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
@pytest.mark.parametrize("ending", ["xla", "stablehlo"])
def test_damaged_files_are_made_anew(
    folder: Path, compilations: Callable[[], int], damage: Callable[[bytes], bytes], ending: str
) -> None:
    session()
    (path,) = folder.glob(f"squares-*.{ending}")
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert session() == [0.0, 1.0, 4.0, 9.0]
        assert compilations() == (2 if ending == "xla" else 1)


def test_code_that_is_whole_but_not_code_is_made_anew(folder: Path, compilations: Callable[[], int]) -> None:
    session()
    kept._write(code_of(folder).name, b"nothing that runs")
    assert session() == [0.0, 1.0, 4.0, 9.0]
    assert compilations() == 2


def test_code_of_another_machine_is_left_alone(
    folder: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    session()
    monkeypatch.setattr(kept, "_machine", lambda: "elsewhere")
    session()
    assert compilations() == 2
    assert len(list(folder.glob("squares-*.xla"))) == 2


def test_code_of_other_options_is_left_alone(
    folder: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But the program that JAX derived is the same."""
    for level in ("1", "0", "1"):
        monkeypatch.setitem(compiled.OPTIONS, "xla_backend_optimization_level", level)
        session()
    assert compilations() == 2
    assert [len(list(folder.glob(f"squares-*.{ending}"))) for ending in ("xla", "stablehlo")] == [2, 1]


def test_only_what_programs_are_made_of_decides_whether_they_can_be_used(tmp_path: Path) -> None:
    """A reader that is mended, or a command, spoils nothing; mathematics that changed does, in any folder."""
    digest = kept._source_digest.__wrapped__
    for name in ("cli.py", "io/weights.py", "measure/catalog.py", "program/operator.py", "anew/prior.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one = 1")
    first = digest(tmp_path)
    for name in ("cli.py", "io/weights.py", "measure/catalog.py"):
        (tmp_path / name).write_text("one = 2")
    assert digest(tmp_path) == first
    for name in ("program/operator.py", "anew/prior.py"):
        (tmp_path / name).write_text("one = 2")
        assert digest(tmp_path) != first
        (tmp_path / name).write_text("one = 1")


def test_a_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(kept, "folder", lambda: tmp_path / "file" / "programs")
    assert session() == [0.0, 1.0, 4.0, 9.0]
    assert compilations() == 1
    assert "cannot be kept" in caplog.text


def test_what_was_not_used_for_longest_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LIMIT", 250)
    for age, name in ((300, "old"), (200, "older but used"), (100, "young")):
        kept._write(name, b"x" * 64)
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    assert kept._read("older but used") == b"x" * 64
    kept._write("new", b"x" * 64)
    assert {path.name for path in folder.iterdir()} == {"older but used", "new"}


def test_a_file_that_vanishes_while_all_are_listed_is_no_trouble(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another thread's file is listed under a name that it has no longer when it is looked at."""
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter([*real(path), path / ".written-by-another-thread"]))
    kept._write("mine", b"x" * 64)
    assert kept._read("mine") == b"x" * 64
    assert "cannot be kept" not in caplog.text


CHOLESKY = """
import sys
import jax.numpy as jnp, numpy as np
from deblend.program import compiled
matrix = np.diag([4.0, 9.0]).astype(np.float32)
if sys.argv[1] == "load":
    compiled._compile = None
root = compiled.compiled(lambda layout, x: jnp.linalg.cholesky(x))(1, matrix)
assert np.asarray(root).tolist() == [[2.0, 0.0], [0.0, 3.0]]
"""


def test_another_process_loads_linear_algebra_also_where_jax_has_a_cache_of_its_own(tmp_path: Path) -> None:
    """LAPACK is not there for code that JAX did not lower, and JAX's own cache returns code that is not whole."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_ENABLE_COMPILATION_CACHE": "1",
    }

    def run(task: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", CHOLESKY, task], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    run("compile")
    run("load")
    for path in (tmp_path / "programs").glob("*.xla"):
        path.unlink()
    run("compile")
    run("load")


def test_what_is_least_used_is_let_go_and_comes_back_from_disk(
    folder: Path, compilations: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code holds memory maps, of which a process has a limited number: without this, a long session dies."""
    monkeypatch.setattr(compiled, "MOST_READY", 2)
    monkeypatch.setattr(compiled, "_in_use", compiled.OrderedDict())
    function = compiled.compiled(squares)
    for layout in (1, 2, 1, 3):
        function(layout, NUMBERS)
    assert {key[0] for key in function._ready} == {1, 3}
    assert np.asarray(function(2, NUMBERS)["powers"]).tolist() == [0.0, 1.0, 4.0, 9.0]
    assert {key[0] for key in function._ready} == {2, 3}
    assert compilations() == 3


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="counts memory maps as Linux tells them")
def test_what_is_let_go_gives_its_memory_maps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def maps() -> int:
        gc.collect()
        return len(Path("/proc/self/maps").read_text().splitlines())

    monkeypatch.setattr(compiled, "MOST_READY", 1)
    monkeypatch.setattr(compiled, "_in_use", compiled.OrderedDict())
    function = compiled.compiled(squares)
    function(1, NUMBERS)
    counts = [maps()]
    for layout in range(2, 32):
        function(layout, NUMBERS)
        counts.append(maps())
    one_program = 12  # maps that even the smallest takes
    assert counts[-1] - counts[0] < one_program
