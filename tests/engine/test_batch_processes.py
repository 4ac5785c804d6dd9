"""Real processes that are killed in mid-run: workers of a pool and of Dask, and the whole batch.

Whatever dies, the catalog is that of a run that nothing disturbed, bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits

from deblend.batch import Cluster, results_in
from deblend.cli import main
from tests.conftest import PROJECT
from tests.engine.unread import FRAME, unread

sys.path.insert(0, str(PROJECT / "benchmarks"))
from simulated_field import NOISE, simulated

N_BANDS, N_BLENDS = 3, 23
PATIENCE = 180.0
"""How long a process may take, on a machine that does much else [s]."""
QUICK = "tests.engine.quick_deblend"
SBATCH = """#!/bin/sh
cp $1 job.sh
sh ./job.sh > job.out 2>&1 &
echo Submitted batch job $!
"""


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A field of 23 blends in boxes of one size, as files, and the words of a command that fits it."""
    folder = tmp_path_factory.mktemp("field")
    field = simulated(320, seed=5, n_sources=40, bands=N_BANDS)
    images, companions = [], []
    for k, band in enumerate("gri"):
        header = field.wcs.to_header()
        header["FILTER"], header["BUNIT"], header["SURVEY"] = band, "nJy", "simulated"
        image, psf, weight = (folder / f"{what}-{band}.fits" for what in ("field", "psf", "weight"))
        fits.PrimaryHDU(field.images[k], header).writeto(image)
        fits.PrimaryHDU(field.psf[k]).writeto(psf)
        fits.PrimaryHDU(np.full(field.images[k].shape, NOISE[k] ** -2.0)).writeto(weight)
        images.append(str(image))
        companions += ["--psf", str(psf), "--weights", f"ivar:{weight}"]
    return ["batch", *images, *companions, "--no-models"]


@pytest.fixture(scope="module")
def undisturbed(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The catalog of this process alone; what it compiles is on disk for all others."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main([*words, "--workers", "1", "--out", str(folder), "-q"]) == 0
    assert len(done_in(folder)) == N_BLENDS
    return (folder / "catalog.fits").read_bytes()


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python module beside this process; whatever is left of it and of what it started is killed behind it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    family = []
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.kill()
        process.communicate()


def workers_of(pid: int) -> list[psutil.Process]:
    """Return the processes below this one that a pool or Dask has spawned to work."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        # one may end while it is looked at
        with contextlib.suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def done_in(folder: Path) -> list[int]:
    """Return the numbers of the blends that a folder's journal holds, in the order in which they were done."""
    return [result.number for result in results_in(folder, with_models=False)]


def wait_for(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds; what a process says that ends before that is the reason of the failure."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {process.communicate()[1]}")
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.005)


def kill_one(workers: Sequence[psutil.Process], folder: Path) -> None:
    """Kill a worker, which must have come in mid-run."""
    workers[0].kill()
    assert 0 < len(done_in(folder)) < N_BLENDS


def test_whatever_is_killed_on_one_machine_the_catalog_is_the_same(
    words: list[str], undisturbed: bytes, tmp_path: Path
) -> None:
    command = [QUICK, *words, "--workers", "2", "--out", str(tmp_path)]
    with started(*command) as batch:
        wait_for(lambda: done_in(tmp_path), batch)
        first = workers_of(batch.pid)
        assert len(first) == 2
        kill_one(first, tmp_path)
        # the one that is left may bring results until the pool sees that the other is gone; then others take over
        gone = {process.pid for process in first}
        wait_for(lambda: (now := {p.pid for p in workers_of(batch.pid)}) and not now & gone, batch)
        before = len(done_in(tmp_path))
        wait_for(lambda: len(done_in(tmp_path)) > before, batch)
        others = workers_of(batch.pid)
        batch.kill()
        kept = done_in(tmp_path)
        assert len(kept) < N_BLENDS
        # workers do not outlive the process that they work for
        _, alive = psutil.wait_procs(others, timeout=PATIENCE)
        assert not alive
    with started(*command) as again:
        _, said = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0 and f"holds {len(kept)} of {N_BLENDS} blends; going on" in said
    numbers = done_in(tmp_path)
    assert numbers[: len(kept)] == kept and sorted(numbers) == list(range(N_BLENDS))
    assert (tmp_path / "catalog.fits").read_bytes() == undisturbed


def test_a_worker_of_dask_is_killed_and_the_catalog_is_the_same(
    words: list[str], undisturbed: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("distributed", reason="Dask's scheduler is not installed (pip install distributed)")
    where = tmp_path / "scheduler.json"
    quiet = "--no-dashboard"
    with started("dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(where), quiet) as s:
        wait_for(where.is_file, s)
        address = str(json.loads(where.read_text())["address"])
        options = ["--nworkers", "2", "--nthreads", "1", "--preload", QUICK, "--local-directory", str(tmp_path), quiet]
        with (
            started("dask", "worker", address, "--host", "127.0.0.1", *options) as workers,
            started(QUICK, *words, "--cluster", address, "--out", str(tmp_path / "out")) as batch,
        ):
            wait_for(lambda: done_in(tmp_path / "out"), batch)
            kill_one(workers_of(workers.pid), tmp_path / "out")
            _, said = batch.communicate(timeout=PATIENCE)
            assert batch.returncode == 0, said
    assert sorted(done_in(tmp_path / "out")) == list(range(N_BLENDS))
    assert (tmp_path / "out" / "catalog.fits").read_bytes() == undisturbed


def test_slurm_runs_the_job_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Slurm keeps each job's script and runs it, as `sbatch` does; all else is real."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install dask-jobqueue)")
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/sh\nkill $1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    with Cluster("slurm", 1) as cluster:
        found = list(cluster.results([(task,) for task in unread(3)], FRAME, lambda: False))
    assert sorted(result.failure for result in found) == [f"unread {k}" for k in range(3)]
    script = (tmp_path / "job.sh").read_text()
    for line in ("#SBATCH -n 1", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=3G"):
        assert line in script.splitlines()
    assert f"{sys.executable} -m distributed.cli.dask_worker tcp://" in script and "--nthreads 1" in script
