"""FITS into layers: on the sky, in one world, with units; and what is no FITS is left to others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from napari.layers import Image

from deblend import Observation
from napari_deblend.reader import get_reader, layers_of
from napari_deblend.sample import read_sample, sample_folder
from napari_deblend.status import ReadOut
from napari_deblend.views import Role
from napari_deblend.world import World, sky_text


def test_the_sample_is_one_layer_on_the_sky_in_arcsec() -> None:
    ((data, options, kind),) = read_sample()
    layer = Image(data, **options)
    assert kind == "image"
    assert data.shape[0] == 5
    assert layer.axis_labels == ("band", "north", "east")
    assert [str(unit) for unit in layer.units] == ["pixel", "arcsecond", "arcsecond"]
    assert layer.metadata["flux_unit"] == "nJy / pix"
    assert [band.split()[-1].lower() for band in layer.metadata["bands"]] == list("grizy")
    corner, along_x = (np.array(layer.data_to_world(p)) for p in ((0, 0, 0), (0, 0, 1)))
    step = (along_x - corner)[-2:]
    assert np.hypot(*step) == pytest.approx(0.168, abs=1e-3)
    assert step[1] < 0, "east grows to smaller x in this image"


def test_napari_opens_the_folder_with_our_reader(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.open(sample_folder(), plugin="napari-deblend")
    assert len(viewer.layers) == 1
    assert "observation" in viewer.layers[0].metadata["deblend"]


def test_what_is_opened_later_shares_the_world(
    make_napari_viewer: Any, make_observation: Callable[..., Observation]
) -> None:
    viewer = make_napari_viewer()
    first, second = make_observation(), make_observation(size=(40, 30), name="HST", bands="w")
    for observation in (first, second):
        for data, options, _ in layers_of([observation]):
            viewer.add_image(data, **options)
    np.testing.assert_allclose(
        viewer.layers[0].data_to_world((0, 10, 12))[-2:], viewer.layers[1].data_to_world((0, 10, 12))[-2:], atol=1e-6
    )
    assert str(viewer.layers.units[-1]) == "arcsecond"


def test_a_single_band_is_seen_at_every_step_of_the_band_slider(make_observation: Callable[..., Observation]) -> None:
    color, single = layers_of([make_observation(), make_observation(bands="w", name="HST")])
    assert color[0].shape[0] == single[0].shape[0] == 3
    np.testing.assert_array_equal(single[0][0], single[0][2])
    assert single[0].strides[0] == 0, "the band is repeated, not copied"


def test_without_a_sky_the_world_is_pixels(make_observation: Callable[..., Observation]) -> None:
    ((_, options, _),) = layers_of([make_observation(sky=False)])
    np.testing.assert_array_equal(options["affine"], np.eye(4))
    assert options["units"][-2:] == ("pixel", "pixel")


@pytest.mark.parametrize("name", ["image.fits", "IMAGE.FIT", "image.fits.gz", "image.fits.fz", "image.fits[SCI]"])
def test_fits_files_are_ours(name: str, tmp_path: Path) -> None:
    assert get_reader(str(tmp_path / name)) is not None


@pytest.mark.parametrize("name", ["image.tif", "fits.txt", "image.fits.png"])
def test_other_files_are_not(name: str, tmp_path: Path) -> None:
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "a.fits"), str(tmp_path / name)]) is None


def test_a_folder_is_ours_where_it_holds_fits(tmp_path: Path) -> None:
    assert get_reader(tmp_path) is None
    fits.writeto(tmp_path / "a.fits", np.zeros((4, 4)))
    assert get_reader(tmp_path) is not None


def test_sky_positions_read_as_astronomers_write_them() -> None:
    assert sky_text(150.130291667, 2.234750) == "10:00:31.27 +02:14:05.1"
    assert sky_text(0.0, -0.5) == "00:00:00.00 -00:30:00.0"
    assert sky_text(359.9999999, -89.99999999) == "00:00:00.00 -90:00:00.0"


def test_the_status_bar_says_sky_pixel_flux_and_unit(make_observation: Callable[..., Observation]) -> None:
    observation = make_observation()
    ((data, options, _),) = layers_of([observation])
    layer, world = Image(data, **options), World.of([observation])
    place, value = ReadOut(layer, observation, Role.DATA, world)(layer.data_to_world((1, 24, 20)))
    ra, dec = observation.wcs.pixel_to_sky(20, 24)  # type: ignore[union-attr]
    assert place == f"{sky_text(float(ra), float(dec))}   x 20.0  y 24.0"
    assert value == f"r {observation.images[1, 24, 20]:.4g} nJy/pix"
    outside = ReadOut(layer, observation, Role.DATA, world)(layer.data_to_world((1, 240, 20)))
    assert outside[1] == ""
