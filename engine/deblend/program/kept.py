"""What is kept on disk between sessions: programs that JAX derived from the code, and what XLA made of them.

A layout that was ever seen starts without tracing, lowering and compiling. JAX can keep compiled code too, but it
finds it only by lowering the program anew, which takes longer than loading it; so it is kept here, as XLA itself
writes it down, and is run without JAX's help. Whatever cannot be used is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
import platformdirs
from jax import export

from deblend.replacing import replacing

LIMIT = 1 << 30
"""Bytes that may be kept; what was not used for longest goes first."""

_DIGEST_BYTES = 32
_APART = ("batch", "commands", "io", "measure")
"""Folders that no compiled function is made of: what is below them may not import them (import-linter)."""

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def folder() -> Path | None:
    """Return where things are kept: as JAX was told, or in the user's cache; None where that was switched off."""
    if not getattr(jax.config, "jax_enable_compilation_cache", True):
        return None
    told = getattr(jax.config, "jax_compilation_cache_dir", None)
    return Path(told or Path(platformdirs.user_cache_dir("deblend")) / "compiled") / "programs"


def key_of(*things: Any) -> str:
    """Return a name for a program: of what it was made for, and of every version that it was made by."""
    versions = jax.__version__, jax.default_backend(), _source_digest(Path(__file__).parents[1])
    return hashlib.sha256("\n".join([*map(str, things), *versions]).encode()).hexdigest()[:32]


def key_of_code(name: str, options: Mapping[str, str | bool] | None) -> str:
    """Return a name for the code of a program that was compiled with these options."""
    return f"{name}-{hashlib.sha256(repr(sorted((options or {}).items())).encode()).hexdigest()[:8]}"


def load_program(name: str) -> export.Exported | None:
    """Return a program that was kept; None where there is none that can be used."""
    content = _read(f"{name}.stablehlo")
    try:
        return None if content is None else export.deserialize(bytearray(content))
    except ValueError as error:
        log.info("The kept program %s cannot be used: %s", name, error)
        return None


def keep_program(name: str, program: export.Exported) -> None:
    """Keep a program that JAX derived."""
    _write(f"{name}.stablehlo", bytes(program.serialize()))


def load_code(name: str) -> Callable[[list[jax.Array]], list[jax.Array]] | None:
    """Return what runs compiled code that was kept on a machine like this one; None where it cannot be used.

    It takes all arrays of the program's arguments, and returns those of its result.
    """
    content = _read(_code_name(name))
    if content is None:
        return None
    try:
        _wake_linear_algebra()
        device = jax.devices()[0]
        run: Callable[[list[jax.Array]], list[jax.Array]]
        run = device.client.deserialize_executable(content, [device]).execute
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        log.info("The kept code of %s cannot be used: %s", name, error)
        return None
    return run


def keep_code(name: str, compiled: jax.stages.Compiled) -> None:
    """Keep compiled code, where this version of XLA can write it down."""
    executable: Any = compiled.runtime_executable()
    try:
        content = executable.client.serialize_executable(executable)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        log.info("The code of %s cannot be kept: %s", name, error)
        return
    _write(_code_name(name), content)


def _code_name(name: str) -> str:
    return f"{name}-{_machine()}.xla"


@lru_cache(maxsize=1)
def _machine() -> str:
    """Return a digest of what code is compiled for: a folder may be shared by unlike machines."""
    processor = platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith(("flags", "Features")))
    device = jax.devices()[0]
    told = os.environ.get("XLA_FLAGS", "")
    text = "\n".join([platform.machine(), processor, device.device_kind, jaxlib.__version__, told])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@lru_cache(maxsize=1)
def _wake_linear_algebra() -> None:
    """Let XLA find LAPACK, as JAX does when it lowers: code that was kept would call what is not there."""
    from jaxlib import lapack

    lapack.prepare_lapack_call("potrf_ffi", np.dtype(np.float32))


@lru_cache(maxsize=1)
def _source_digest(root: Path) -> str:
    """Return a digest of the engine's code that programs are made of: what was kept for another is not used."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        within = path.relative_to(root)
        if len(within.parts) > 1 and within.parts[0] not in _APART:
            digest.update(f"{within.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _read(name: str) -> bytes | None:
    """Return what was kept under this name; None where there is nothing, or it was damaged."""
    parent = folder()
    if parent is None:
        return None
    try:
        content = (parent / name).read_bytes()
        os.utime(parent / name)
    except OSError:
        return None
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(name: str, content: bytes) -> None:
    parent = folder()
    if parent is None:
        return
    try:
        with replacing(parent / name) as part:
            part.write_bytes(hashlib.sha256(content).digest() + content)
        _forget_oldest(parent)
    except OSError as error:
        log.warning("Compiled code cannot be kept in %s (%s); the next start will compile again.", parent, error)


def _forget_oldest(parent: Path) -> None:
    """Remove what was not used for longest, until the rest is within the limit."""
    known = []
    for path in parent.iterdir():
        # another thread's file may have got its name since it was listed
        with contextlib.suppress(FileNotFoundError):
            known.append((path.stat(), path))
    files = sorted(known, key=lambda file: -file[0].st_mtime)
    total = 0
    for status, path in files:
        total += status.st_size
        if total > LIMIT:
            path.unlink(missing_ok=True)
