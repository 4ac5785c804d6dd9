"""Compilation, counted and cached.

Every function that is compiled goes through `compiled`, which counts how often JAX traces it: tests and the window
show that no edit compiles. Compiled code is kept on disk between sessions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import platformdirs

_lock = threading.Lock()
_counts: dict[str, int] = {}


def compiled(function: Callable[..., Any], static_argnames: tuple[str, ...] = ("layout",)) -> Callable[..., Any]:
    """Return the function compiled by JAX; the counter of its name rises each time that it is traced."""

    @wraps(function)
    def traced(*args: Any, **keywords: Any) -> Any:
        with _lock:
            _counts[function.__name__] = _counts.get(function.__name__, 0) + 1
        return function(*args, **keywords)

    jitted = jax.jit(traced, static_argnames=static_argnames)

    @wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        use_disk_cache()
        return jitted(*args, **keywords)

    return call


def compilations() -> int:
    """Return how many compilations this process has asked for so far."""
    with _lock:
        return sum(_counts.values())


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
