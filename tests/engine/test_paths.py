"""Files and folders may be named by text wherever the public interface asks for them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deblend
from deblend import io

PUBLIC = ("", ".batch", ".detect", ".infer", ".io", ".measure", ".observe", ".priors", ".scene")


def callables(module: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions of a module and the methods of its classes that are not data alone."""
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isclass(found):
            for attribute, method in vars(found).items():
                method = getattr(method, "__func__", method)
                is_written = inspect.isfunction(method) and method.__code__.co_filename != "<string>"
                if is_written and (attribute == "__init__" or not attribute.startswith("_")):
                    yield f"{name}.{attribute}", method
        elif inspect.isfunction(found):
            yield name, found


@pytest.mark.parametrize("suffix", PUBLIC)
def test_no_function_asks_for_a_path_alone(suffix: str) -> None:
    module = importlib.import_module(f"deblend{suffix}")
    asked = [
        f"{name}({p.name}: {p.annotation})"
        for name, function in callables(module)
        for p in inspect.signature(function).parameters.values()
        if str(p.annotation) in ("Path", "Path | None", "<class 'pathlib.Path'>")
    ]
    assert not asked


def test_sessions_and_results_are_kept_and_found_by_name(tmp_path: Path) -> None:
    images, psf = np.ones((1, 20, 20)), deblend.observe.gaussian_psf(1.2)[None]
    observation = deblend.Observation.from_arrays(images, psf, images, channels=[deblend.Channel("HSC", "i")])
    scene = deblend.scene_from_positions([observation], [6.0], [9.0])
    name = str(tmp_path / "blend.asdf")
    io.write_session(name, io.Session(scene, [observation]))
    assert io.is_session(name) and len(io.read_session(name).scene) == 1
    io.write_regions(str(tmp_path / "blend.reg"), scene, observation.grid)
    assert (tmp_path / "blend.reg").is_file()
    with pytest.raises(ValueError, match="there is no such session"):
        io.read_session(str(tmp_path / "other.asdf"), data=str(tmp_path))
    with pytest.raises(ValueError, match="holds no batch"):
        deblend.batch.Batch.opened(str(tmp_path))
