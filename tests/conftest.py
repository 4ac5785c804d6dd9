"""What makes the tests strict, and what they share.

Everything here holds for all of them: warnings are errors (pyproject.toml), JAX does not broadcast ranks silently,
random numbers come from a seed, and data that is not there is a visible skip.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Read when Qt, napari and JAX are first imported, so they are set before anything else is.
_binding = os.environ.setdefault("QT_API", os.environ.get("PYTEST_QT_API", "pyqt5"))
os.environ.setdefault("PYTEST_QT_API", _binding)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["NAPARI_ASYNC"] = "0"
# matrices of tests are small, workers are as many as processors, and threads that wait for each other's turn do so
# loudly; told to workers and to programs that tests start (see docs/decisions.md)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# most tests of the window fit nothing
os.environ["DEBLEND_COMPILE_AHEAD"] = "no"
_settings = tempfile.TemporaryDirectory(prefix="napari-deblend-tests-")
os.environ["DEBLEND_CONFIG"] = _settings.name
os.environ["NAPARI_CONFIG"] = str(Path(_settings.name) / "settings.yaml")

import jax
import numpy as np
import pytest

from deblend.program import compiled

jax.config.update("jax_numpy_rank_promotion", "raise")

# LLVM takes half of the time of tests that compile; the same XLA programs run without its care, only slower
_SHIPPED = compiled.OPTIONS["xla_backend_optimization_level"]
compiled.OPTIONS["xla_backend_optimization_level"] = "0"

# while code is traced, Python looks for garbage after every 700 new objects: an eighth of the time, and there is none
gc.set_threshold(50_000, 10, 10)

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20190623)


@pytest.fixture
def key() -> jax.Array:
    """A JAX random key, the same in every run."""
    return jax.random.key(20190623)


@pytest.fixture
def tolerance() -> Callable[[object], dict[str, float]]:
    """Tolerances for `np.testing.assert_allclose`, by the precision of the coarsest number that takes part."""

    def by_dtype(*arrays: object) -> dict[str, float]:
        coarsest = max(float(np.finfo(np.asarray(a).dtype).eps) for a in arrays)
        # a few hundred roundings of the largest number in play
        return {"rtol": 4000 * coarsest, "atol": 400 * coarsest}

    return by_dtype


@pytest.fixture
def trials() -> Callable[[int], int]:
    """How many repetitions a statistical test makes: all of them, or a quarter where CI is set."""
    return lambda full: max(full // 4, 1) if os.environ.get("CI") else full


@pytest.fixture(scope="module", autouse=True)
def _let_go_of_code() -> Iterator[None]:
    """What one file compiled by itself serves no other, and a process has a limited number of memory maps for it."""
    yield
    jax.clear_caches()


@pytest.fixture
def as_shipped() -> Iterator[None]:
    """For tests of times, of long fits and of the whole: code is compiled with the care that users get."""
    compiled.OPTIONS["xla_backend_optimization_level"] = _SHIPPED
    yield
    compiled.OPTIONS["xla_backend_optimization_level"] = "0"


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The sample blend that comes with the program."""
    return PROJECT / "sample_data"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real and simulated images that are not the project's to publish; skips where they are absent."""
    folder = Path(os.environ.get("DEBLEND_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the test images are absent; name their folder in the environment variable DEBLEND_DATA")
    return folder
