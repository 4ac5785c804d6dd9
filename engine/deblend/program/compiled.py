"""Compilation, counted and cached.

Every function that is compiled goes through `compiled`, which counts how often JAX traces it: tests and the window
show that no edit compiles. Compiled code is kept on disk between sessions. Two threads never compile the same thing
twice: the second waits for the first.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import numpy as np
import platformdirs

_lock = threading.Lock()
_counts: dict[str, int] = {}


class Compiled:
    """A function of a static layout and of arrays, compiled by JAX at its first call for each layout."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._first = threading.RLock()
        self._ready: set[Hashable] = set()

        @wraps(function)
        def traced(layout: Any, *args: Any) -> Any:
            with _lock:
                _counts[function.__name__] = _counts.get(function.__name__, 0) + 1
            return function(layout, *args)

        self._jitted = jax.jit(traced, static_argnames=("layout",))

    def __call__(self, layout: Any, *args: Any) -> Any:
        use_disk_cache()
        key = (layout, _dtype_of(args))
        if key in self._ready:
            return self._jitted(layout, *args)
        with self._first:
            result = self._jitted(layout, *args)
            self._ready.add(key)
        return result

    def zeros(self, layout: Any, *args: Any) -> Any:
        """Return zeros of the shapes that a call would return, without compiling anything."""
        shapes = jax.eval_shape(lambda *arrays: self._function(layout, *arrays), *args)
        return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)


def compiled(function: Callable[..., Any]) -> Compiled:
    """Return the function, compiled per layout; the counter rises each time that it is traced."""
    return Compiled(function)


def compilations() -> int:
    """Return how many compilations this process has asked for so far."""
    with _lock:
        return sum(_counts.values())


def side_by_side(first: Callable[[], Any], *others: Callable[[], Any]) -> Any:
    """Run functions in threads of their own, so that what they compile compiles in parallel; return the first's result."""
    with ThreadPoolExecutor(max_workers=1 + len(others)) as pool:
        futures = [pool.submit(function) for function in (first, *others)]
        return [future.result() for future in futures][0]


def _dtype_of(args: tuple[Any, ...]) -> str:
    return str(next(leaf.dtype for leaf in jax.tree.leaves(args) if leaf.dtype.kind == "f"))


_is_cache_set = False


def use_disk_cache() -> None:
    """Keep compiled code on disk, unless JAX was told where, or not to, by its own settings."""
    global _is_cache_set
    if _is_cache_set:
        return
    _is_cache_set = True
    if jax.config.jax_compilation_cache_dir is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(platformdirs.user_cache_dir("deblend")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
