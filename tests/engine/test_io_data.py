"""Real files, where they are: what the reader makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from deblend.io import read_observations, read_peaks
from deblend.observe import centroid, measured_sigma

pytestmark = pytest.mark.data


def test_hsc_in_the_lsst_layout(data_folder: Path) -> None:
    folder = data_folder / "hsc_cosmos_35"
    files = [folder / f"calexp-HSC-{band}.fits" for band in "GRIZY"]
    (seen,) = read_observations(files)
    assert seen.name == "HSC" and [c.band for c in seen.channels] == list("grizy")
    assert seen.images.shape == (5, 58, 48) and seen.psf.shape == (5, 43, 43)
    assert seen.n_unmasked == seen.images.size, "nothing in these files is BAD, SAT or NO_DATA"
    with fits.open(files[0]) as hdus:
        np.testing.assert_allclose(seen.to_input_unit(seen.images)[0], hdus["IMAGE"].data, rtol=1e-6)
        variance = np.median(hdus["VARIANCE"].data)
    np.testing.assert_allclose(np.median(seen.weights[0]), 1 / variance / seen.njy_per_unit[0] ** 2, rtol=1e-4)
    np.testing.assert_allclose(seen.njy_per_unit, 57.544, rtol=1e-4)
    assert max(abs(v) for stamp in seen.psf for v in centroid(stamp)) < 0.05
    said = "\n".join(seen.notes)
    assert "HSC default is assumed" in said and "psf-HSC-G.fits" in said
    x, y = read_peaks(folder / "peaks.csv", seen)
    assert x.shape == y.shape == (7,)


def test_a_folder_in_the_lsst_layout(data_folder: Path) -> None:
    (seen,) = read_observations(data_folder / "hsc_cosmos_35")
    assert [c.band for c in seen.channels] == list("giryz")


def test_hsc_with_hst(data_folder: Path) -> None:
    folder = data_folder / "cosmos_hsc_hst"
    images = [folder / "hsc_grizy.fits", folder / "hst_f814w.fits"]
    psfs = [folder / "hsc_psf.fits", folder / "hst_psf.fits"]
    hsc, hst = read_observations(images, psf=psfs)
    assert (hsc.name, hst.name) == ("hsc_grizy", "hst")
    assert [c.band for c in hsc.channels] == list("grizy") and [c.band for c in hst.channels] == ["F814W"]
    assert "its file's name says g, r, i, z, y, it seems" in "\n".join(hsc.notes)
    assert hsc.images.shape == (5, 50, 50) and hst.images.shape == (1, 250, 250)
    assert hsc.wcs is not None and hst.wcs is not None
    assert hsc.wcs.pixel_scale == pytest.approx(0.168, rel=1e-4) and hst.wcs.pixel_scale == pytest.approx(
        0.03, rel=1e-4
    )
    # the same patch: every corner of the HST image lies in or at the edge of the HSC one
    corners = np.array([0.0, 249.0, 0.0, 249.0]), np.array([0.0, 0.0, 249.0, 249.0])
    x, y = hsc.wcs.sky_to_pixel(*hst.wcs.pixel_to_sky(*corners))
    assert min(x.min(), y.min()) > -10 and max(x.max(), y.max()) < 60
    for seen, path in ((hsc, images[0]), (hst, images[1])):
        astropy = WCS(fits.getheader(path), naxis=2).all_world2pix(*seen.wcs.pixel_to_sky([3.0], [7.0]), 0)
        np.testing.assert_allclose(np.ravel(astropy), [3.0, 7.0], atol=1e-6)
        assert max(abs(v) for stamp in seen.psf for v in centroid(stamp)) < 0.05
        said = "\n".join(seen.notes)
        assert "neither a unit" in said and "noise was measured" in said and "off the middle" in said


def test_a_simulated_cube(data_folder: Path) -> None:
    folder = data_folder / "sim_matched"
    (seen,) = read_observations(folder, psf=folder / "psf.fits")
    assert [c.band for c in seen.channels] == list("ugrizy") and seen.wcs is None
    assert seen.images.shape == (6, 55, 58)
    assert measured_sigma(seen.images[0]) == pytest.approx(19.9**0.5, rel=0.3)
    x, y = read_peaks(folder / "components.csv", seen)
    assert x[0] == pytest.approx(29.301257884343276) and len(y) == 7
