"""A session that refers to its images: chosen where it is saved, and asked for where they have gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from qtpy.QtWidgets import QFileDialog

from deblend import Observation, make_source
from napari_deblend.actions import perform
from napari_deblend.widgets.keeping import REFERRING

pytestmark = pytest.mark.gui


def test_images_that_have_gone_are_asked_for(
    bench: Any,
    observation: Observation,
    tmp_path: Path,
    wait: Callable[..., None],
    settle: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEBLEND_CONFIG", str(tmp_path / "kept"))
    there, path = tmp_path / "images", tmp_path / "work.asdf"
    there.mkdir()
    fits.writeto(there / "sky.fits", observation.images)
    fits.writeto(there / "sky_psf.fits", observation.psf)
    bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench.load([str(there)])
    wait(lambda: bench.document.is_open)
    bench.document.add(make_source("point", 20.0, 24.0, n_channels=3))
    settle(bench)
    observations, fluxes = bench.document.observations, bench.document.scene.fluxes
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), REFERRING))
    perform(bench, "save_session")
    wait(lambda: bench.keeper.path == path)
    assert path.stat().st_size < sum(o.images.nbytes for o in observations)
    there.rename(tmp_path / "elsewhere")
    told: list[str] = []
    bench.told.connect(told.append)
    # not found at first, and then where a person says
    asked: list[str] = []

    def ask(_: object, title: str, *__: object) -> str:
        asked.append(title)
        return str(tmp_path / "elsewhere")

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", ask)
    bench.keeper.open(path)
    wait(lambda: bench.document.observations is not observations)
    settle(bench)
    assert asked == ["Where are the images of work.asdf now?"]
    assert any("it refers to images, which is no longer in" in sentence for sentence in told)
    for before, now in zip(observations, bench.document.observations, strict=True):
        np.testing.assert_array_equal(now.images, before.images)
    np.testing.assert_array_equal(bench.document.scene.fluxes, fluxes)
    # saved again it refers to where they are now
    assert not bench.keeper.holds_images
    assert bench.keeper.session().reading.paths == (str(tmp_path / "elsewhere"),)
