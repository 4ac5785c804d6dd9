"""Compilation, counted and kept.

Every function that is compiled goes through `compiled`, which counts how often it is made ready for a layout: tests
and the window show that no edit does. Between sessions two things are kept on disk: the program that JAX derived
from the Python code (as StableHLO), and the machine code that XLA made of it; so a layout that was ever seen starts
without tracing and without compiling. Two threads never prepare the same thing twice: the second waits for the first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import platformdirs
from jax import export
from threadpoolctl import ThreadpoolController

from deblend.program import arrays

OPTIONS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 2,
    "xla_cpu_multi_thread_eigen": False,
}
"""For CPUs: XLA's defaults take nearly twice the time and memory to compile code that is no faster."""

log = logging.getLogger(__name__)
_lock = threading.Lock()
_counts: dict[str, int] = {}
_n_small = 0
"""How many threads are among small matrices."""
_limit: Any = None
_refused: list[str] = []
"""What XLA said where it did not take the options."""


class Compiled:
    """A function of a static layout and of arrays, compiled at its first call for each layout."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._tracing = threading.Lock()
        self._compiling: dict[Hashable, threading.Lock] = {}
        self._programs: dict[Hashable, export.Exported] = {}
        self._ready: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, layout: Any, *args: Any) -> Any:
        key = (layout, _precision_of(args))
        args = on_device(args)
        ready = self._ready.get(key)
        if ready is not None:
            return ready(*args)
        program = self._program(key, args)
        with self._compiling.setdefault(key, threading.Lock()):
            # XLA compiles at the first call
            if key in self._ready:
                return self._ready[key](*args)
            self._ready[key], result = _first_call(program.call, args)
        return result

    def zeros(self, layout: Any, *args: Any) -> Any:
        """Return zeros of the shapes that a call would return, without compiling anything."""
        program = self._program((layout, _precision_of(args)), args)
        return jax.tree.unflatten(program.out_tree, [np.zeros(a.shape, a.dtype) for a in program.out_avals])

    def _program(self, key: tuple[Any, str], args: tuple[Any, ...]) -> export.Exported:
        with self._tracing:
            if key not in self._programs:
                _count(self._function.__name__)
                self._programs[key] = self._derived(key[0], args)
            return self._programs[key]

    def _derived(self, layout: Any, args: tuple[Any, ...]) -> export.Exported:
        def call(*arrays: Any) -> Any:
            return self._function(layout, *arrays)

        folder = cache_folder()
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), _dtype(a)), args)
        if folder is None:
            return export.export(jax.jit(call))(*shapes)
        path = folder / "programs" / f"{self._function.__name__}-{_digest(layout, shapes)}.stablehlo"
        try:
            return export.deserialize(bytearray(path.read_bytes()))
        except (OSError, ValueError):
            program = export.export(jax.jit(call))(*shapes)
            _keep(path, program.serialize())
            return program


def on_device(tree: Any) -> Any:
    """Return a tree of arrays with those of NumPy put where programs run.

    Arrays that come from NumPy and such that come from a program are alike to XLA only on a named device.
    """
    leaves, structure = jax.tree.flatten(tree)
    outside = [k for k, leaf in enumerate(leaves) if not isinstance(leaf, jax.Array)]
    for k, leaf in zip(outside, jax.device_put([leaves[k] for k in outside], jax.devices()[0]), strict=True):
        leaves[k] = leaf
    return jax.tree.unflatten(structure, leaves)


def compiled(function: Callable[..., Any]) -> Compiled:
    """Return the function, compiled per layout; its first argument is the layout, all others are arrays."""
    return Compiled(function)


def compilations() -> int:
    """Return how often this process has made a function ready for a layout, by compiling or from disk."""
    with _lock:
        return sum(_counts.values())


@contextmanager
def small_matrices() -> Iterator[None]:
    """Keep linear algebra to one thread: for matrices of a hundred rows others only wait, and wait loudly.

    The limit is the whole process's: the last thread that leaves takes it back.
    """
    global _n_small, _limit
    with _lock:
        _n_small += 1
        if _n_small == 1:
            _limit = _algebra().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _n_small -= 1
            if _n_small == 0:
                _limit.restore_original_limits()


@lru_cache(maxsize=1)
def _algebra() -> ThreadpoolController:
    return ThreadpoolController()


def side_by_side(first: Callable[[], Any], *others: Callable[[], Any]) -> Any:
    """Run functions in threads of their own, so that they compile in parallel; return the first one's result."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(function) for function in (first, *others)]
        result, *_ = [future.result() for future in futures]
    return result


def compiler_options() -> dict[str, bool | int] | None:
    """Return what XLA is told about compiling; nothing where it has refused these options, or runs elsewhere."""
    return None if _refused or jax.default_backend() != "cpu" else OPTIONS


def _first_call(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Callable[..., Any], Any]:
    """Compile a function by calling it, without the options that this version of XLA may not know."""
    options = compiler_options()
    ready = jax.jit(function, compiler_options=options)
    try:
        return ready, ready(*args)
    except (RuntimeError, ValueError) as error:
        if options is None or "compile option" not in str(error).lower():
            raise
        log.info("XLA refuses these options: %s", error)
        _refused.append(str(error))
        return _first_call(function, args)


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return where compiled code is kept: as JAX was told, or in the user's cache; None where that was switched off."""
    folder = getattr(jax.config, "jax_compilation_cache_dir", None)
    if not getattr(jax.config, "jax_enable_compilation_cache", True):
        return None
    if folder is None:
        folder = str(Path(platformdirs.user_cache_dir("deblend")) / "compiled")
        jax.config.update("jax_compilation_cache_dir", folder)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return Path(folder)


def _dtype(array: Any) -> np.dtype:
    """Return the type of an array; JAX's own arrays are not to be converted for it."""
    return array.dtype if hasattr(array, "dtype") else np.result_type(array)


def _count(name: str) -> None:
    with _lock:
        _counts[name] = _counts.get(name, 0) + 1


def _precision_of(args: tuple[Any, ...]) -> str:
    return str(next(leaf.dtype for leaf in jax.tree.leaves(args) if leaf.dtype.kind == "f"))


def _digest(layout: Any, shapes: Any) -> str:
    text = "\n".join(
        [repr(layout), str(jax.tree.leaves(shapes)), jax.__version__, jax.default_backend(), _source_digest()]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Return a digest of the engine's code: what was kept for another version is not used."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _keep(path: Path, content: bytes | bytearray) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        log.warning("Compiled code cannot be kept in %s (%s); the next start will compile again.", path.parent, error)


def register(*trees: type) -> None:
    """Let named tuples be arguments and results of kept programs."""
    for tree in trees:
        export.register_namedtuple_serialization(tree, serialized_name=f"deblend.{tree.__name__}")


register(arrays.GroupParameters, arrays.GroupData, arrays.ObservationData, arrays.ProblemData)
