"""Compilation, counted and kept.

Every function that is compiled goes through `compiled`, which counts how often it is made ready for a layout: tests
and the window show that no edit does. What was made ready once is kept on disk. Two threads never prepare the same
thing twice: the second waits for the first. Of all that is ready, the least used is let go: an operating system gives
a process a limited number of memory maps (Linux: 65530), compiled code takes hundreds of them each, and a process
that has none left dies.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax import export

from deblend.program import arrays, kept
from deblend.render.decoded import Coupling, Decoder
from deblend.render.learned import LearnedTables
from deblend.render.tables import GalaxyTables

OPTIONS: dict[str, str | bool] = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": "2",
    "xla_cpu_multi_thread_eigen": False,
}
"""For CPUs: XLA's defaults take nearly twice the time and memory to compile code that is no faster."""

MOST_READY = 100
"""How many programs are ready at once: a fit uses about ten, of 100 to 750 memory maps each."""

log = logging.getLogger(__name__)
_lock = threading.Lock()
_in_use: OrderedDict[int, tuple[Compiled, Hashable]] = OrderedDict()
"""Whose programs are ready, and for what, by their identity; the least recently used one first."""
_counts: dict[str, int] = {}
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
        key = (layout, *_form_of(args))
        args = on_device(args)
        ready = self._ready.get(key)
        if ready is not None:
            _used(ready, self, key)
            return ready(*args)
        program = self._program(key, args)
        with self._compiling.setdefault(key, threading.Lock()):
            ready = self._ready.get(key)
            if ready is not None:
                return ready(*args)
            ready, result = _first_call(program, self._name(layout, args), args)
            self._ready[key] = ready
        _used(ready, self, key)
        return result

    def is_ready(self, layout: Any) -> bool:
        """Tell whether it has been called for a layout before, and is ready still."""
        return any(key[0] == layout for key in tuple(self._ready))  # type: ignore[index]

    def forget(self, key: Hashable) -> None:
        """Let go of what is ready under a key; a later call makes it ready once more, from disk where it was kept."""
        with self._tracing:
            self._ready.pop(key, None)
            self._programs.pop(key, None)

    def zeros(self, layout: Any, *args: Any) -> Any:
        """Return zeros of the shapes that a call would return, without compiling anything."""
        program = self._program((layout, *_form_of(args)), args)
        return jax.tree.unflatten(program.out_tree, [np.zeros(a.shape, a.dtype) for a in program.out_avals])

    def _program(self, key: tuple[Any, ...], args: tuple[Any, ...]) -> export.Exported:
        with self._tracing:
            if key not in self._programs:
                _count(self._function.__name__)
                self._programs[key] = self._derived(key[0], args)
            return self._programs[key]

    def _derived(self, layout: Any, args: tuple[Any, ...]) -> export.Exported:
        def call(*arrays: Any) -> Any:
            return self._function(layout, *arrays)

        name = self._name(layout, args)
        program = kept.load_program(name)
        if program is None:
            program = export.export(jax.jit(call))(*_shapes(args))
            kept.keep_program(name, program)
        return program

    def _name(self, layout: Any, args: tuple[Any, ...]) -> str:
        return f"{self._function.__name__}-{kept.key_of(repr(layout), jax.tree.leaves(_shapes(args)))}"


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


def side_by_side(first: Callable[[], Any], *others: Callable[[], Any]) -> Any:
    """Run functions in threads of their own, so that they compile in parallel; return the first one's result."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(function) for function in (first, *others)]
        result, *_ = [future.result() for future in futures]
    return result


def compiler_options() -> dict[str, str | bool] | None:
    """Return what XLA is told about compiling; nothing where it has refused these options, or runs elsewhere."""
    return None if _refused or jax.default_backend() != "cpu" else OPTIONS


def _used(ready: Callable[..., Any], function: Compiled, key: Hashable) -> None:
    """Note that a program was used, and let go of the least recently used one where too many are ready."""
    with _lock:
        _in_use[id(ready)] = function, key
        _in_use.move_to_end(id(ready))
        eldest = _in_use.popitem(last=False)[1] if len(_in_use) > MOST_READY else None
    if eldest is not None:
        eldest[0].forget(eldest[1])


def _first_call(program: export.Exported, name: str, args: tuple[Any, ...]) -> tuple[Callable[..., Any], Any]:
    """Return what runs a program, and its first result: with code that was kept, else with code compiled now."""
    code = kept.key_of_code(name, compiler_options())
    run = kept.load_code(code)
    if run is not None:

        def ready(*arrays: Any) -> Any:
            return jax.tree.unflatten(program.out_tree, run(jax.tree.leaves(arrays)))

        try:
            return ready, jax.block_until_ready(ready(*args))
        except RuntimeError as error:
            log.info("The kept code of %s does not run: %s", name, error)
    ready = _compile(program, args)
    kept.keep_code(kept.key_of_code(name, compiler_options()), ready)
    return ready, ready(*args)


def _compile(program: export.Exported, args: tuple[Any, ...]) -> jax.stages.Compiled:
    """Compile a program, without the options that this version of XLA may not know."""

    def call(*arrays: Any) -> Any:
        return program.call(*arrays)

    # of a name that was never used: code which JAX has from a cache of its own cannot be written down once more
    call.__name__ = f"call_{secrets.token_hex(8)}"
    options = compiler_options()
    try:
        return jax.jit(call, keep_unused=True).lower(*args).compile(options)
    except (RuntimeError, ValueError) as error:
        if options is None or "compile option" not in str(error).lower():
            raise
        log.info("XLA refuses these options: %s", error)
        _refused.append(str(error))
        return _compile(program, args)


def _shapes(args: tuple[Any, ...]) -> Any:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(np.shape(a), _dtype(a)), args)


def _dtype(array: Any) -> np.dtype:
    """Return the type that an array has where programs run; JAX's own arrays are not to be converted for it."""
    return jax.dtypes.canonicalize_dtype(array.dtype if hasattr(array, "dtype") else np.result_type(array))


def _count(name: str) -> None:
    with _lock:
        _counts[name] = _counts.get(name, 0) + 1


def _form_of(args: tuple[Any, ...]) -> tuple[str, tuple[tuple[int, ...], ...]]:
    """Return precision and shapes of arguments: the layout of a group does not know how many channels there are."""
    leaves = jax.tree.leaves(args)
    precision = str(next(_dtype(leaf) for leaf in leaves if leaf.dtype.kind == "f"))
    return precision, tuple(np.shape(leaf) for leaf in leaves)


def register(*trees: type) -> None:
    """Let named tuples be arguments and results of kept programs."""
    for tree in trees:
        export.register_namedtuple_serialization(tree, serialized_name=f"deblend.{tree.__name__}")


register(
    arrays.GroupParameters,
    arrays.Parameters,
    arrays.FullSceneParameters,
    arrays.FullSceneData,
    arrays.Asked,
    arrays.Beliefs,
    arrays.Tether,
    arrays.GroupData,
    arrays.CalibrationData,
    arrays.CenterTies,
    arrays.ObservationData,
    arrays.ProblemData,
    arrays.ResamplingTables,
    arrays.StarData,
    LearnedTables,
    Coupling,
    Decoder,
    GalaxyTables,
)
