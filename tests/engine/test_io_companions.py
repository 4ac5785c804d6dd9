"""Files that go with images: found by their names, taken for what they are, and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.io import read_observations
from deblend.io.companions import Role, companions_of, role_of, sort_out
from deblend.observe import Observation, gaussian_psf
from deblend.sky import TangentWcs

SHAPE = (60, 64)
SIGMA = 0.5
PSF = "gaussian:3px"


def save(path: Path, data: Any, **cards: Any) -> Path:
    fits.PrimaryHDU(data, fits.Header(cards)).writeto(path, overwrite=True)
    return path


def placed(ra: float = 150.0, **cards: Any) -> dict[str, Any]:
    return {**TangentWcs((ra, 2.0), (30.0, 30.0), ((-0.2, 0.0), (0.0, 0.2))).to_header(), **cards}


def said(*observations: Observation) -> str:
    return "\n".join(note for observation in observations for note in observation.notes)


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return (SIGMA * rng.normal(size=SHAPE)).astype("f4")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("goods_f814w_v2.0_sci.fits", None),
        ("goods_f814w_v2.0_wht.fits", Role.WEIGHTS),
        ("x.weight.fits.gz", Role.WEIGHTS),
        *((f"a_{word}.fits", Role.WEIGHTS) for word in ("ivar", "invvar", "rms", "err", "sig", "sigma", "var", "unc")),
        *((f"a-{word}.fits.fz", Role.MASK) for word in ("mask", "flag", "dq", "maskbits")),
        ("psf-HSC-G.fits", Role.PSF),
        ("legacysurvey-0001p000-psfsize-g.fits.fz", Role.PSF),
        ("truth.fits", Role.NEITHER),
        ("EUC_MER_MOSAIC-NIR-H-RMS_TILE102-A1_2024.1Z_00.00.fits", Role.WEIGHTS),
        ("EUC_MER_MOSAIC-NIR-H-FLAG_TILE102-A1_2024.1Z_00.00.fits", Role.MASK),
        ("EUC_MER_GRID-PSF-VIS_TILE102-A1_2024.1Z_00.00.fits", Role.PSF),
        ("EUC_MER_BGSUB-MOSAIC-VIS_TILE102-A1_2024.1Z_00.00.fits", None),
        ("warm_error-free.fits", Role.WEIGHTS),
        ("sigmaori.fits", None),
    ],
)
def test_names_tell_roles(name: str, role: Role | None) -> None:
    assert role_of(Path(name)) is role


def test_companions_go_with_the_image_of_their_words() -> None:
    names = ["a_g_sci", "a_r_sci", "a_g_wht", "a_r_rms", "a_r_wht", "a_mask", "b_r_wht", "psf"]
    images, others = sort_out([Path(f"/gone/{name}.fits") for name in names], [])
    assert [p.stem for p in images] == ["a_g_sci", "a_r_sci"]
    g, r = (companions_of(p, images, others, lambda folder: ()) for p in images)
    assert (g.weights.stem, r.weights.stem) == ("a_g_wht", "a_r_rms"), "what needs no measuring comes first"
    assert g.mask.stem == r.mask.stem == "a_mask"
    assert g.psf is r.psf is None, "a name without any words of its own belongs to a single image"


def test_a_named_file_is_an_image_unless_it_goes_with_another() -> None:
    alone = [Path("/gone/a_err.fits")]
    assert sort_out(alone, alone)[0] == alone
    pair = [Path("/gone/a.fits"), *alone]
    assert sort_out(pair, pair) == ([pair[0]], alone)


KINDS = {"ivar": SIGMA**-2, "rms": SIGMA, "variance": SIGMA**2}


@pytest.mark.parametrize(
    ("word", "kind", "sentence"),
    [
        *((word, "ivar", "its weights are the inverse variances of a_") for word in ("ivar", "invvar", "ivm")),
        *((word, "rms", "its weights are 1/error² of a_") for word in ("rms", "err", "sig", "sigma", "unc")),
        *((word, "variance", "its weights are 1/variance of a_") for word in ("var", "variance")),
        ("weight", "ivar", "is taken for inverse variances, as the noise of the image agrees"),
    ],
)
def test_a_companion_is_what_its_suffix_says(
    word: str, kind: str, sentence: str, tmp_path: Path, image: np.ndarray
) -> None:
    save(tmp_path / "a_sci.fits", image, BUNIT="nJy")
    values = np.full(SHAPE, KINDS[kind])
    values[4, :3] = [0.0, np.nan, -1.0]
    save(tmp_path / f"a_{word}.fits", values)
    for given in (tmp_path, tmp_path / "a_sci.fits", str(tmp_path / "*.fits"), sorted(tmp_path.iterdir())):
        (seen,) = read_observations(given, psf=PSF)
        np.testing.assert_allclose(seen.weights[0, 9], SIGMA**-2, rtol=1e-6)
        assert not seen.weights[0, 4, :3].any() and seen.n_unmasked == image.size - 3
        assert sentence in said(seen)


@pytest.mark.parametrize("word", ["wht", "exposure", "weight"])
def test_what_is_no_inverse_variance_is_scaled_by_the_noise(word: str, tmp_path: Path, image: np.ndarray) -> None:
    exposure = np.full(SHAPE, 900.0)
    exposure[:30] = 3600.0
    image[:30] /= 2.0
    save(tmp_path / "a_drz.fits", image, BUNIT="nJy")
    save(tmp_path / f"a_{word}.fits", exposure)
    (seen,) = read_observations(tmp_path, psf=PSF)
    np.testing.assert_allclose(seen.weights[0, 5] / seen.weights[0, 50], 4.0, rtol=1e-6)
    assert seen.weights[0, 50, 5] ** -0.5 == pytest.approx(SIGMA, rel=0.08)
    assert f"a_{word}.fits is taken for exposure" in said(seen)


def test_inverse_variances_under_the_name_of_exposures_are_noticed(tmp_path: Path, image: np.ndarray) -> None:
    save(tmp_path / "a_drz.fits", image, BUNIT="nJy")
    save(tmp_path / "a_wht.fits", np.full(SHAPE, SIGMA**-2))
    (seen,) = read_observations(tmp_path, psf=PSF)
    assert "--weights ivar:FILE takes such a file for inverse variances as it is" in said(seen)
    (seen,) = read_observations(tmp_path / "a_drz.fits", psf=PSF, weights=f"ivar:{tmp_path / 'a_wht.fits'}")
    np.testing.assert_allclose(seen.weights, SIGMA**-2, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ivar", SIGMA**-2),
        ("inverse-variance", SIGMA**-2),
        ("rms", SIGMA),
        ("sigma", SIGMA),
        ("variance", SIGMA**2),
        ("var", SIGMA**2),
    ],
)
def test_the_kind_can_be_said(kind: str, value: float, tmp_path: Path, image: np.ndarray) -> None:
    file = save(tmp_path / "image.fits", image, BUNIT="nJy")
    weights = save(tmp_path / "noise.fits", np.full(SHAPE, value))
    (seen,) = read_observations(file, psf=PSF, weights=f"{kind}:{weights}")
    np.testing.assert_allclose(seen.weights, SIGMA**-2, rtol=1e-6)


def test_weights_can_be_left_aside(tmp_path: Path, image: np.ndarray) -> None:
    save(tmp_path / "a_sci.fits", image, BUNIT="nJy")
    save(tmp_path / "a_rms.fits", np.full(SHAPE, 7.0))
    (seen,) = read_observations(tmp_path / "a_sci.fits", psf=PSF, weights="measured")
    np.testing.assert_allclose(seen.weights**-0.5, SIGMA, rtol=0.08)


def test_masks(tmp_path: Path, image: np.ndarray) -> None:
    mask = np.zeros(SHAPE, "u1")
    mask[2, 3:6] = [1, 4, 255]
    file = save(tmp_path / "image.fits", np.stack([image, image]), BUNIT="nJy", BANDS="gr")
    given = save(tmp_path / "bad.fits", mask)
    (seen,) = read_observations(file, psf=PSF, mask=given)
    assert not seen.weights[:, 2, 3:6].any() and seen.n_unmasked == 2 * (image.size - 3)
    assert "6 pixels are masked where bad.fits is not zero" in said(seen)
    save(tmp_path / "image_mask.fits", np.where(mask > 0, np.nan, 0.0))
    (found,) = read_observations(file, psf=PSF)
    np.testing.assert_array_equal(found.weights > 0, seen.weights > 0)
    (inverted,) = read_observations(file, psf=PSF, mask=save(given, 1 - np.minimum(mask, 1)))
    assert "may mark the good pixels" in said(inverted)


def test_one_mask_for_all_images_or_one_each(tmp_path: Path, image: np.ndarray) -> None:
    files = [save(tmp_path / f"{band}.fits", image, BUNIT="nJy", FILTER=band) for band in "gri"]
    masks = []
    for i in range(3):
        mask = np.zeros(SHAPE, "i2")
        mask[0, i] = 1
        masks.append(save(tmp_path / f"bad{i}.fits", mask))
    (seen,) = read_observations(files, psf=PSF, mask=masks)
    assert [np.flatnonzero(w[0] == 0).tolist() for w in seen.weights] == [[0], [1], [2]]
    (seen,) = read_observations(files, psf=PSF, mask=masks[1])
    assert [np.flatnonzero(w[0] == 0).tolist() for w in seen.weights] == [[1], [1], [1]]


def test_a_folder_of_two_surveys_on_one_grid(tmp_path: Path, image: np.ndarray) -> None:
    """Files form observations by survey, shape and WCS, whatever their names; each has its own companions."""
    for survey, band in (("HST", "F606W"), ("HST", "F814W"), ("JWST", "F200W")):
        name = f"{survey}_{band}"
        save(tmp_path / f"{name}_sci.fits", image, **placed(TELESCOP=survey, FILTER=band, BUNIT="nJy"))
        save(tmp_path / f"{name}_rms.fits", np.full(SHAPE, SIGMA))
        save(tmp_path / f"{name}_psf.fits", gaussian_psf(3.0 if survey == "HST" else 4.0))
    hst, jwst = read_observations(tmp_path)
    assert [str(c) for c in hst.channels] == ["HST F606W", "HST F814W"]
    assert [str(c) for c in jwst.channels] == ["JWST F200W"]
    assert hst.psf.shape[1] == gaussian_psf(3.0).shape[0] and jwst.psf.shape[1] == gaussian_psf(4.0).shape[0]
    assert "HST_F606W_psf.fits, HST_F814W_psf.fits, JWST_F200W_psf.fits beside the images" in said(hst)


def test_a_companion_of_another_shape_is_not_used(tmp_path: Path, image: np.ndarray) -> None:
    save(tmp_path / "a_sci.fits", image, BUNIT="nJy")
    save(tmp_path / "a_rms.fits", np.ones((9, 9)))
    save(tmp_path / "a_mask.fits", np.ones((9, 9)))
    (seen,) = read_observations(tmp_path, psf=PSF)
    assert seen.n_unmasked == image.size
    for name in ("a_rms.fits", "a_mask.fits"):
        assert f"{name} is of another shape, and is not used" in said(seen)
