"""How files were understood: facts against what was made, corrections against arithmetic, signatures by kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend import Observation, TangentWcs
from deblend.io import Check, Interpretation, checks, signature
from deblend.io.checks import ellipticity
from deblend.observe import gaussian_psf

TURNED = TangentWcs((150.0, 2.0), (10.0, 10.0), ((-0.2 * np.cos(0.5), 0.2 * np.sin(0.5)),
                                                 (0.2 * np.sin(0.5), 0.2 * np.cos(0.5))))  # fmt: skip


def observation(noise: float = 1.0, **options: Any) -> Observation:
    images = np.random.default_rng(2).normal(size=(2, 60, 50)) * noise
    settings = {"channels": ["g", "r"], "name": "deep", "unit": "count", "njy_per_unit": [57.54, 3.631], "wcs": TURNED}
    return Observation.from_arrays(images, gaussian_psf(4.0), np.ones_like(images), **{**settings, **options})


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.what: check for check in found}


def test_what_is_well_needs_no_warning() -> None:
    found = by_name(checks(observation()))
    assert not any(check.warning for check in found.values())
    assert "zero point 27.0001, 29.9999 mag" in found["unit"].value
    assert "g 1.0" in found["noise"].value or "g 0.9" in found["noise"].value
    # the profile of 4 px, 0.8″, is widened by the pixel
    assert found["PSF FWHM"].value == "g 0.81″, r 0.81″"
    assert found["WCS"].value.startswith("0.2″ pixels, north 28.6° left of up; local map off by up to 0.000 px")


def test_what_is_doubtful_is_warned_of() -> None:
    odd = observation(2.0, unit="DN", njy_per_unit=1.0, wcs=replace(TURNED, residual=0.4))
    odd = replace(odd, psf=np.stack([gaussian_psf(1.5)] * 2), weights=np.where(np.arange(50) < 30, 0.0, odd.weights))
    found = by_name(checks(odd))
    assert "no zero point" in found["unit"].warning
    said = found["noise"].value.rsplit(": ", 1)[1].split(", ")
    # 1600 faint pixels know it to some per cent
    assert [float(band.split()[1]) for band in said] == pytest.approx([2.0, 2.0], rel=0.1)
    assert "weights of g, r do not fit" in found["noise"].warning
    assert found["mask"].value == "60.0 % of the pixels" and found["mask"].warning
    assert "undersampled" in found["PSF FWHM"].warning and "distorted" in found["WCS"].warning
    assert "positions" in by_name(checks(observation(wcs=None)))["WCS"].warning


def test_ellipticity_is_that_of_a_gaussian() -> None:
    y, x = np.mgrid[-30:31, -30:31]
    stamp = np.exp(-0.5 * ((x / 6.0) ** 2 + (y / 4.5) ** 2))
    assert ellipticity(stamp) == pytest.approx(0.25, abs=0.01)


def test_as_it_is_changes_nothing() -> None:
    before = observation()
    assert Interpretation.of(before).applied(before) is before


def test_corrections_are_arithmetic() -> None:
    before = observation()
    wanted = replace(Interpretation.of(before), survey="HSC", bands="i,z", zero_point="28", noise_scale="1.5, 2")
    after = wanted.applied(before)
    size = 10 ** (0.4 * (31.4 - 28.0))
    counts = before.to_input_unit(before.images)
    np.testing.assert_allclose(after.images, size * counts, rtol=1e-12)
    scale = before.njy_per_unit[:, None, None] / size / np.array([1.5, 2.0])[:, None, None]
    np.testing.assert_allclose(after.weights, before.weights * scale**2, rtol=1e-12)
    assert [str(c) for c in after.channels] == [str(c) for c in observation(channels=["i", "z"], name="HSC").channels]
    assert after.notes[-1] == "deep: corrected by hand: survey HSC, bands i,z, zero point 28, noise scale 1.5, 2."
    # and back again, to the digits that the form shows
    back = replace(Interpretation.of(before), noise_scale="0.6666666667, 0.5").applied(after)
    np.testing.assert_allclose(back.images, before.images, rtol=1e-4)
    np.testing.assert_allclose(back.weights, before.weights, rtol=2e-4)


def test_another_psf_in_words_or_from_a_file(tmp_path: Path) -> None:
    before = observation()
    said = replace(Interpretation.of(before), psf="gaussian:1.2").applied(before)
    width = gaussian_psf(6.0).shape[0] // 2
    middle = said.psf.shape[-1] // 2
    cut = said.psf[0, middle - width : middle + width + 1, middle - width : middle + width + 1]
    np.testing.assert_allclose(cut, gaussian_psf(6.0), atol=1e-6)
    fits.writeto(tmp_path / "stamp.fits", gaussian_psf(5.0))
    wanted = replace(Interpretation.of(before), psf=str(tmp_path / "stamp.fits"))
    assert not wanted.names_no_file and replace(wanted, psf="moffat:1,3").names_no_file
    np.testing.assert_allclose(wanted.applied(before).psf[1].max(), gaussian_psf(5.0).max(), rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("zero_point", "high", "zero point: 'high' is no number"),
        ("zero_point", "1,2,3", "zero point: one number or one for each of the 2 bands"),
        ("noise_scale", "0", "noise scale: must be above 0"),
        ("bands", "g", "bands: 2 different names are needed"),
        ("bands", "g,g", "bands: 2 different names are needed"),
        ("survey", " ", "survey: needs a name"),
        ("psf", "gaussian:wide", "psf: gaussian:wide: 'wide' is no number"),
        ("psf", "nowhere.fits", "psf: nowhere.fits: there is no such file"),
    ],
)
def test_what_makes_no_sense_is_said(field: str, value: str, says: str) -> None:
    before = observation()
    with pytest.raises(ValueError, match=says):
        replace(Interpretation.of(before), **{field: value}).applied(before)


def test_a_signature_is_of_a_kind_of_file() -> None:
    kind = signature(observation())
    other = np.random.default_rng(9).normal(size=(2, 30, 30))
    same = Observation.from_arrays(
        other,
        gaussian_psf(3.0),
        np.ones_like(other),
        channels=["g", "r"],
        name="deep",
        unit="count",
        njy_per_unit=[57.54, 3.631],
        wcs=TURNED.shifted(7, 7),
    )
    assert signature(same) == kind and len(kind) == 16
    assert signature(observation(unit="DN")) != kind != signature(observation(channels=["g", "i"]))


def test_it_is_written_and_read_again() -> None:
    present = Interpretation.of(observation())
    assert Interpretation.from_dict(present.to_dict()) == present
    with pytest.raises(ValueError, match="has the fields bands, mask, noise_scale"):
        Interpretation.from_dict({"survey": "x"})


def test_noise_is_measured_and_more_is_masked(tmp_path: Path) -> None:
    """Weights that are four times too large; 3000 pixels know the noise to 2 %."""
    odd = observation(2.0)
    bad = np.zeros((60, 50), "i2")
    bad[:10] = 1
    fits.writeto(tmp_path / "bad.fits", bad)
    wanted = replace(Interpretation.of(odd), weights="measured", mask=str(tmp_path / "bad.fits"))
    made = wanted.applied(odd)
    assert np.all(made.weights[:, :10] == 0) and np.all(made.weights[:, 10:] > 0)
    noise = 1.0 / np.sqrt(made.weights[:, 30, 20])
    np.testing.assert_allclose(noise, 2.0 * odd.njy_per_unit, rtol=0.08)
    assert any("1000 pixels are masked where bad.fits is not zero" in note for note in made.notes)
    assert not wanted.names_no_file
    # a mask is of one image, and so is a place on the sky; how noise and psf are meant is of the kind
    moved = replace(wanted, sky_shift="1, 0", psf="gaussian:1.2")
    assert moved.of_its_kind == replace(moved, mask="", sky_shift="0, 0")


FORMS = {"variance": lambda n: 1 / n, "rms": lambda n: n**-2.0, "inverse variance": lambda n: n}
"""Inverse variances of numbers."""


@pytest.mark.parametrize("wanted", FORMS)
@pytest.mark.parametrize("said", ["variance", "rms", "ivar"])
def test_numbers_of_a_file_are_understood_otherwise(tmp_path: Path, said: str, wanted: str) -> None:
    """As if the file had been opened so: numbers of about 2 with a zero, a negative and an undefined one, two bands."""
    rng = np.random.default_rng(6)
    numbers = rng.uniform(1.5, 2.5, (2, 40, 36)).astype("f4")
    numbers[0, 3, 4:7] = [0.0, -1.0, np.nan]
    header = fits.Header({"MAGZERO": 27.0})
    fits.writeto(tmp_path / "sky.fits", rng.normal(size=numbers.shape).astype("f4"), header)
    fits.writeto(tmp_path / "numbers.fits", numbers)
    options = {"psf": "gaussian-stamp.fits", "bands": "g,r", "survey": "S"}
    fits.writeto(tmp_path / options["psf"], gaussian_psf(3.0))
    options["psf"] = str(tmp_path / options["psf"])
    opened = Observation.read(tmp_path / "sky.fits", weights=f"{said}:{tmp_path / 'numbers.fits'}", **options)
    after = replace(Interpretation.of(opened), weights=wanted).applied(opened)
    count = 10 ** (0.4 * (31.4 - 27.0))
    good = np.isfinite(numbers) & (numbers > 0)
    expected = np.where(good, FORMS[wanted](np.where(good, numbers, 1.0).astype(float)), 0.0) / count**2
    np.testing.assert_allclose(after.weights, expected, rtol=1e-6)
    assert wanted in after.notes[-1] and f"made of {wanted}" in by_name(checks(after))["noise"].value
    # and once more: what they were made of is still known, a factor on the noise included
    louder = replace(Interpretation.of(after), noise_scale="2, 3").applied(after)
    back = replace(Interpretation.of(louder), weights="variance").applied(louder)
    expected = np.where(good, FORMS["variance"](np.where(good, numbers, 1.0).astype(float)), 0.0) / count**2
    np.testing.assert_allclose(back.weights, expected, rtol=1e-6)


def test_exposures_are_inverse_variances_but_for_a_factor(tmp_path: Path) -> None:
    """And numbers of which the noise was measured alone are nothing."""
    rng = np.random.default_rng(7)
    exposure = rng.uniform(200.0, 400.0, (60, 50)).astype("f4")
    fits.writeto(tmp_path / "sky.fits", (rng.normal(size=exposure.shape) * 30 / np.sqrt(exposure)).astype("f4"))
    fits.writeto(tmp_path / "wht.fits", exposure)
    fits.writeto(tmp_path / "star.fits", gaussian_psf(3.0))
    options = {"psf": str(tmp_path / "star.fits"), "bands": "g"}
    opened = Observation.read(tmp_path / "sky.fits", weights=f"exposure:{tmp_path / 'wht.fits'}", **options)
    np.testing.assert_allclose(opened.weights[0] / exposure, opened.weights[0, 0, 0] / exposure[0, 0], rtol=1e-6)
    after = replace(Interpretation.of(opened), weights="inverse variance").applied(opened)
    np.testing.assert_allclose(after.weights[0], exposure, rtol=1e-6)
    measured = replace(Interpretation.of(opened), weights="measured").applied(opened)
    with pytest.raises(ValueError, match="noise of band g was measured in its image"):
        replace(Interpretation.of(measured), weights="rms").applied(measured)


def test_a_wcs_is_moved() -> None:
    before = observation()
    assert before.wcs is not None
    after = replace(Interpretation.of(before), sky_shift="1.5, -0.5").applied(before).wcs
    assert after is not None
    (ra, dec), (moved_ra, moved_dec) = (w.pixel_to_sky(20.0, 30.0) for w in (before.wcs, after))
    assert (moved_ra - ra) * 3600 * np.cos(np.radians(dec)) == pytest.approx(1.5, abs=1e-3)
    assert (moved_dec - dec) * 3600 == pytest.approx(-0.5, abs=1e-3)
    with pytest.raises(ValueError, match="sky shift: the image has no WCS"):
        replace(Interpretation.of(before), sky_shift="1, 0").applied(replace(before, wcs=None))


def test_what_cannot_be_measured_or_masked_is_said(tmp_path: Path) -> None:
    present = Interpretation.of(observation())
    with pytest.raises(ValueError, match="weights: say variance, rms, inverse variance, measured, or leave it empty"):
        replace(present, weights="rms.fits").applied(observation())
    fits.writeto(tmp_path / "all.fits", np.ones((60, 50), "i2"))
    with pytest.raises(ValueError, match="leaves a band without a usable pixel"):
        replace(present, mask=str(tmp_path / "all.fits")).applied(observation())
