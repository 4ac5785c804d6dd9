"""A small file of every layout that surveys ship: units, weights and masks of each, against the numbers put in."""

from __future__ import annotations

import bz2
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from deblend.io import Interpretation, read_observations
from deblend.observe import Observation, full_width_half_maximum, gaussian_psf, moffat_psf
from deblend.sky import Channel, TangentWcs

SHAPE = (48, 44)
NMGY = 3631.0
PSF = "gaussian:3px"


def header(scale: float, **cards: Any) -> fits.Header:
    step = scale
    made = TangentWcs((150.1, 2.2), (21.0, 23.0), ((-step, 0.0), (0.0, step))).to_header()
    made.update(cards)
    return made


def save(path: Path, data: np.ndarray, cards: fits.Header | None = None, name: str | None = None) -> Path:
    """Write one image: compressed in HDU 1 for .fz, else in the primary HDU."""
    if path.name.endswith(".fz"):
        hdu = fits.CompImageHDU(data, cards, name=name, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    elif path.name.endswith(".bz2"):
        raw = path.with_suffix("")
        fits.PrimaryHDU(data, cards).writeto(raw)
        path.write_bytes(bz2.compress(raw.read_bytes()))
        raw.unlink()
    else:
        fits.PrimaryHDU(data, cards).writeto(path)
    return path


def said(*observations: Observation) -> str:
    return "\n".join(note for observation in observations for note in observation.notes)


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(3, *SHAPE)).astype("f4")


def legacy_brick(folder: Path, noise: np.ndarray, *, with_psf: bool = True) -> np.ndarray:
    """Write a brick in g and r, with inverse variance, maskbits and widths of the PSF; return its inverse variance."""
    name = "legacysurvey-1501p022"
    sigma = 0.02
    ivar = np.full((2, *SHAPE), sigma**-2, "f4")
    ivar[0, 5, 5:8] = 0.0
    bits = np.zeros(SHAPE, "i4")
    bits[0, :16] = 1 << np.arange(16)
    for band, plane, weight in zip("gr", noise, ivar, strict=False):
        save(folder / f"{name}-image-{band}.fits.fz", (plane * sigma).astype("f4"), header(0.262))
        save(folder / f"{name}-invvar-{band}.fits.fz", weight, header(0.262))
        if with_psf:
            save(folder / f"{name}-psfsize-{band}.fits.fz", np.full(SHAPE, {"g": 1.5, "r": 1.3}[band], "f4"))
        save(folder / f"{name}-nexp-{band}.fits.fz", np.ones(SHAPE, "i2"))
    save(folder / f"{name}-maskbits.fits.fz", bits)
    return ivar


def test_a_brick_of_the_legacy_surveys(tmp_path: Path, noise: np.ndarray) -> None:
    ivar = legacy_brick(tmp_path, noise)
    (seen,) = read_observations(tmp_path)
    assert seen.channels == (Channel("LegacySurvey", "g"), Channel("LegacySurvey", "r"))
    np.testing.assert_allclose(seen.images[:, 10], noise[:2, 10] * np.float32(0.02) * NMGY, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[:, 10], ivar[:, 10] / NMGY**2, rtol=1e-6)
    assert not seen.weights[0, 5, 5:8].any() and seen.weights[1, 5, 5:8].all()
    # saturated and bad pixels of each band: SATUR_G 2, ALLMASK_G 5; SATUR_R 3, ALLMASK_R 6
    assert np.flatnonzero(seen.weights[0, 0] == 0).tolist() == [2, 5]
    assert np.flatnonzero(seen.weights[1, 0] == 0).tolist() == [3, 6]
    for band, width in enumerate((1.5, 1.3)):
        stamp = moffat_psf(width / 0.262, 3.0)
        side = stamp.shape[0]
        middle = slice((seen.psf.shape[1] - side) // 2, (seen.psf.shape[1] + side) // 2)
        np.testing.assert_allclose(seen.psf[band][middle, middle], stamp, atol=1e-6)
    assert "nanomaggies are assumed" in said(seen) and "only the width of the PSF is known, 1.5 arcsec" in said(seen)
    assert "a Moffat profile with beta 3 is assumed" in said(seen)
    assert "inverse variances of legacysurvey-1501p022-invvar-g.fits.fz" in said(seen)
    assert "SATUR_G 2, ALLMASK_G 5" in said(seen)
    assert "legacysurvey-1501p022-nexp-g.fits.fz" in said(seen) and "left aside" in said(seen)


def test_one_image_of_a_brick_finds_what_goes_with_it(tmp_path: Path, noise: np.ndarray) -> None:
    ivar = legacy_brick(tmp_path, noise, with_psf=False)
    image = tmp_path / "legacysurvey-1501p022-image-r.fits.fz"
    (seen,) = read_observations(image, psf=PSF)
    np.testing.assert_allclose(seen.weights[0, 10], ivar[1, 10] / NMGY**2, rtol=1e-6)
    with pytest.raises(ValueError, match=r"image-r\.fits\.fz: its PSF is not known; give --psf"):
        read_observations(image)


@pytest.mark.parametrize("with_weights", [True, False])
def test_a_cube_of_the_cutout_service(with_weights: bool, tmp_path: Path, noise: np.ndarray) -> None:
    cards = header(0.262, SURVEY="LegacySurvey", VERSION="DR10-south", BANDS="grz", IMAGETYP="IMAGE")
    cards.update({"BAND0": "g", "BAND1": "r", "BAND2": "z"})
    hdus: list[Any] = [fits.PrimaryHDU(noise, cards)]
    if with_weights:
        cards = cards.copy()
        cards["IMAGETYP"] = "INVVAR"
        hdus.append(fits.ImageHDU(np.ones_like(noise) * np.float32(0.98), cards))
    fits.HDUList(hdus).writeto(tmp_path / "cutout.fits")
    (seen,) = read_observations(tmp_path / "cutout.fits", psf="moffat:1.2,3")
    assert [str(c) for c in seen.channels] == ["LegacySurvey g", "LegacySurvey r", "LegacySurvey z"]
    np.testing.assert_allclose(seen.images, noise.astype(float) * NMGY, rtol=1e-6)
    if with_weights:
        np.testing.assert_allclose(seen.weights, np.float32(0.98) / NMGY**2, rtol=1e-6)
        assert "its weights are the inverse variances of HDU 1" in said(seen)
    else:
        np.testing.assert_allclose(seen.weights**-0.5, NMGY, rtol=0.15)
        assert "the noise was measured" in said(seen)


@pytest.mark.parametrize(
    ("card", "comment", "width"),
    [
        ("PSFSIZE", "", 1.4 / 0.262),
        ("SEEING", "seeing in pixels", 1.4),
        ("FWHM", "FWHM [arcsec]", 1.4 / 0.262),
        ("FWHM", "median FWHM in pixels", 1.4),
    ],
)
def test_a_width_in_the_header_is_a_psf(
    card: str, comment: str, width: float, tmp_path: Path, noise: np.ndarray
) -> None:
    cards = header(0.262)
    cards[card] = (1.4, comment)
    (seen,) = read_observations(save(tmp_path / "a.fits", noise[0], cards))
    np.testing.assert_allclose(seen.psf[0], moffat_psf(width), atol=1e-6)
    assert f"only the width of the PSF is known ({card} = 1.4" in said(seen)


def test_a_width_of_unknown_unit_is_none(tmp_path: Path, noise: np.ndarray) -> None:
    with pytest.raises(ValueError, match="its PSF is not known"):
        read_observations(save(tmp_path / "a.fits", noise[0], header(0.262, FWHM=3.0)))


EUCLID = "EUC_MER_{what}_TILE102018211-{digest}_20241018T14271{digit}.276838Z_00.00.fits"


def euclid(folder: Path, noise: np.ndarray) -> None:
    cards = header(0.1, MAGZERO=24.6)
    rms, flags = np.full(SHAPE, 0.002, "f4"), np.zeros(SHAPE, "i4")
    # a hot pixel, a bad column and a saturated ghost; a ghost, the edge of a quadrant and a cosmic ray are no harm
    rms[3, 3], flags[7, :7] = 0.0, [2, 128, 8 + 32, 32, 64, 16, 0]
    # stamps side by side; the one nearest to the middle of the image is the widest
    side, widths, offsets = 21, (2.0, 4.0, 3.0), (30.0, 0.5, -20.0)
    centers = [(side - 1) / 2 + side * i + 1.0 for i in range(3)]
    grid = np.concatenate([np.pad(gaussian_psf(w), 40)[_middle(w, side)] for w in widths], axis=1)
    wcs = TangentWcs.from_header(cards, SHAPE)
    assert wcs is not None
    middle = (SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2
    ra, dec = wcs.pixel_to_sky(middle[0] + np.array(offsets), middle[1] + 0.0 * np.array(offsets))
    columns = {"RA": ra, "Dec": dec, "x_center": centers, "y_center": [side // 2 + 1.0] * 3}
    table = fits.BinTableHDU.from_columns([fits.Column(n, "D", array=np.array(v)) for n, v in columns.items()])
    psf = fits.ImageHDU(grid, fits.Header({"STMPSIZE": side}))
    files = {"BGSUB-MOSAIC-VIS": noise[0] * np.float32(0.002), "MOSAIC-VIS-RMS": rms, "MOSAIC-VIS-FLAG": flags}
    for digit, (what, data) in enumerate(files.items()):
        save(folder / EUCLID.format(what=what, digest=f"A{digit}B{digit}", digit=digit), data, cards)
    fits.HDUList([fits.PrimaryHDU(), psf, table]).writeto(
        folder / EUCLID.format(what="GRID-PSF-VIS", digest="CC", digit=8)
    )
    fits.PrimaryHDU(noise[1]).writeto(folder / EUCLID.format(what="BGMOD-VIS", digest="DD", digit=9))


def _middle(width: float, side: int) -> tuple[slice, slice]:
    center = gaussian_psf(width).shape[0] // 2 + 40
    return (slice(center - side // 2, center + side // 2 + 1),) * 2


def test_mosaics_of_euclid(tmp_path: Path, noise: np.ndarray) -> None:
    euclid(tmp_path, noise)
    (seen,) = read_observations(tmp_path)
    size = 10 ** (0.4 * (31.4 - 24.6))
    assert seen.channels == (Channel("Euclid", "VIS"),)
    np.testing.assert_allclose(seen.images[0, 10], noise[0, 10] * np.float32(0.002) * size, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[0, 10], (np.float64(np.float32(0.002)) * size) ** -2.0, rtol=1e-6)
    assert seen.weights[0, 3, 3] == 0 and (seen.weights[0, 7, :7] > 0).tolist() == [False] * 3 + [True] * 4
    assert seen.psf_field is not None
    for x, width in ((-9.0, 3.0), (21.5, 4.0)):
        stamp = seen.psf_field.native_at(x, (SHAPE[0] - 1) / 2)[0]
        # the stamps are cut at 21 px
        assert full_width_half_maximum(stamp) == pytest.approx(full_width_half_maximum(gaussian_psf(width)), rel=0.03)
    for sentence in (
        "1/error² of EUC_MER_MOSAIC-VIS-RMS",
        "3 pixels are masked where EUC_MER_MOSAIC-VIS-FLAG",
        "taken for bad (INVALID 0, HOT 1, COLD 2, SAT 3, BAD_COLUMN 7, BAD_CLUSTER 8, NO_DATA 22)",
        "are not: 4 (1 pixels), 5 (2 pixels), 6 (1 pixels).",
    ):
        assert sentence in said(seen)
    assert "3 of its PSF stamps lie on or around the image" in said(seen)
    assert "BGMOD" in said(seen) and "left aside" in said(seen)


def test_other_bits_of_euclid_can_be_taken_for_bad(tmp_path: Path, noise: np.ndarray) -> None:
    """When files are opened, in place of those that are known; of open images, on top of what is masked."""
    euclid(tmp_path, noise)
    flags = next(tmp_path.glob("*FLAG*"))
    (seen,) = read_observations(tmp_path, mask=f"bits:5,4:{flags}")
    assert (seen.weights[0, 7, :7] > 0).tolist() == [True, True, False, False, True, False, True]
    assert "3 pixels are masked where bits 4, 5 of EUC_MER_MOSAIC-VIS-FLAG" in said(seen)
    more = replace(Interpretation.of(seen), mask=f"bits:1,7:{flags}").applied(seen)
    assert (more.weights[0, 7, :7] > 0).tolist() == [False, False, False, False, True, False, True]
    for bits in ("", "two", "0,63", "-1"):
        with pytest.raises(ValueError, match="bits are numbers from 0 to 62"):
            read_observations(tmp_path, mask=f"bits:{bits}:{flags}")


def test_flags_of_the_near_infrared_are_bad_where_they_are_not_zero(tmp_path: Path, noise: np.ndarray) -> None:
    flags = np.zeros(SHAPE, "i4")
    flags[2, :3] = [1, 1 << 17, 0]
    for what, data in (("BGSUB-MOSAIC-NIR-H", noise[0]), ("MOSAIC-NIR-H-FLAG", flags)):
        save(tmp_path / EUCLID.format(what=what, digest=what[0], digit=1), data, header(0.1, MAGZERO=24.6))
    (seen,) = read_observations(tmp_path, psf="gaussian:0.5")
    assert (seen.weights[0, 2, :3] > 0).tolist() == [False, False, True]
    assert "known for VIS alone" in said(seen)


def test_near_infrared_mosaics_of_euclid_share_one_psf(tmp_path: Path, noise: np.ndarray) -> None:
    for band, plane in zip("YJ", noise, strict=False):
        save(tmp_path / EUCLID.format(what=f"BGSUB-MOSAIC-NIR-{band}", digest=band, digit=1), plane, header(0.1))
        rms = np.full(SHAPE, {"Y": 1.0, "J": 1.1}[band], "f4")
        save(tmp_path / EUCLID.format(what=f"MOSAIC-NIR-{band}-RMS", digest=band * 2, digit=2), rms)
    save(tmp_path / EUCLID.format(what="GRID-PSF-NIR", digest="P", digit=3), gaussian_psf(3.0))
    (seen,) = read_observations(tmp_path)
    assert [c.band for c in seen.channels] == ["NIR-J", "NIR-Y"]
    np.testing.assert_allclose(seen.weights[:, 9, 9] ** -0.5, [1.1, 1.0], rtol=1e-6)


def sdss_frame(path: Path, noise: np.ndarray, *, run: int = 3918) -> tuple[np.ndarray, np.ndarray]:
    """Write a frame as the survey's data model has it; return image and variance [nanomaggy]."""
    calibration = np.linspace(0.0040, 0.0042, SHAPE[1]).astype("f4")
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sky = 120.0 + 0.5 * x / SHAPE[1] + 0.25 * y / SHAPE[0]
    coarse = 120.0 + 0.5 * np.linspace(0, 1, 5) + 0.25 * np.linspace(0, 1, 4)[:, None]
    image = (noise[0] * 0.02).astype("f4")
    columns = [
        fits.Column("ALLSKY", "20E", dim="(5,4)", array=coarse[None].astype("f4")),
        fits.Column("XINTERP", f"{SHAPE[1]}E", array=(x[0] / SHAPE[1] * 4)[None]),
        fits.Column("YINTERP", f"{SHAPE[0]}E", array=(y[:, 0] / SHAPE[0] * 3)[None]),
    ]
    cards = header(0.396, BUNIT="nanomaggy", FILTER="r", CAMCOL=3, RUN=run, TELESCOP="2.5m", ORIGIN="SDSS")
    hdus = [fits.PrimaryHDU(image, cards), fits.ImageHDU(calibration), fits.BinTableHDU.from_columns(columns)]
    raw = path.with_suffix("")
    fits.HDUList(hdus).writeto(raw)
    path.write_bytes(bz2.compress(raw.read_bytes()))
    raw.unlink()
    # gain 4.72 and dark variance 1.3225 of r in column 3
    counts = image.astype(float) / calibration + sky
    return image.astype(float), (counts / 4.72 + 1.3225) * calibration.astype(float) ** 2


def test_a_frame_of_sdss(tmp_path: Path, noise: np.ndarray) -> None:
    path = tmp_path / "frame-r-003918-3-0213.fits.bz2"
    image, variance = sdss_frame(path, noise)
    (seen,) = read_observations(path, psf=PSF)
    assert seen.channels == (Channel("SDSS", "r"),)
    np.testing.assert_allclose(seen.images[0], image * NMGY, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[0], 1 / (variance * NMGY**2), rtol=2e-6)
    assert "gain and dark variance of its CCD" in said(seen)


def test_a_frame_without_its_calibration_has_measured_noise(tmp_path: Path, noise: np.ndarray) -> None:
    cards = header(0.396, BUNIT="nanomaggy", FILTER="r", CAMCOL=3, RUN=3918)
    path = save(tmp_path / "frame-r-003918-3-0213.fits.bz2", noise[0], cards)
    (seen,) = read_observations(path, psf=PSF)
    np.testing.assert_allclose(seen.weights[0] ** -0.5, NMGY, rtol=0.15)
    assert "the noise was measured" in said(seen)


def test_mosaics_of_hubble_in_separate_files(tmp_path: Path, noise: np.ndarray) -> None:
    """One has inverse variances, as its header says; the other exposure times."""
    name = "hlsp_survey_hst_acs-30mas_field_{}_v1.0_{}.fits"
    cards = header(0.03, PHOTFLAM=7.033e-20, PHOTPLAM=8045.5, BUNIT="ELECTRONS/S", TELESCOP="HST")
    size = 10 ** (0.4 * (31.4 - (-2.5 * np.log10(7.033e-20) - 5 * np.log10(8045.5) - 2.408)))
    exposure = np.where(np.arange(SHAPE[1]) < 22, 1000.0, 4000.0) * np.ones(SHAPE)
    for band, weight, kind in (("f814w", np.full(SHAPE, 1e4), "IVM"), ("f606w", exposure, "EXP")):
        cards["FILTER"] = band.upper()
        sigma = 0.01 * np.sqrt(1.0 if kind == "IVM" else 1000.0 / weight)
        save(tmp_path / name.format(band, "sci"), (noise[0] * sigma).astype("f4"), cards)
        save(tmp_path / name.format(band, "wht"), weight.astype("f4"), header(0.03, WHT_TYPE=kind))
    (seen,) = read_observations(tmp_path, psf=PSF)
    assert [str(c) for c in seen.channels] == ["HST F606W", "HST F814W"]
    np.testing.assert_allclose(seen.weights[1], 1e4 / size**2, rtol=1e-6)
    np.testing.assert_allclose(seen.weights[0, :, 30] / seen.weights[0, :, 3], 4.0, rtol=1e-6)
    assert seen.weights[0, 9, 9] ** -0.5 == pytest.approx(0.01 * size, rel=0.1)
    assert "inverse variances of hlsp_survey_hst_acs-30mas_field_f814w_v1.0_wht.fits" in said(seen)
    assert "hlsp_survey_hst_acs-30mas_field_f606w_v1.0_wht.fits is taken for exposure" in said(seen)


def test_data_quality_of_webb_masks_by_one_bit(tmp_path: Path, noise: np.ndarray) -> None:
    quality = np.zeros(SHAPE, "u4")
    quality[0, :4] = [1, 2, 4, 5]
    hdus = [fits.ImageHDU(noise[0], header(0.03, BUNIT="MJy/sr", PIXAR_SR=2e-14), name="SCI")]
    hdus += [fits.ImageHDU(np.ones(SHAPE, "f4"), name="ERR"), fits.ImageHDU(quality, name="DQ")]
    primary = fits.PrimaryHDU(header=fits.Header({"TELESCOP": "JWST", "FILTER": "F200W"}))
    fits.HDUList([primary, *hdus]).writeto(tmp_path / "jw_cal.fits")
    (seen,) = read_observations(tmp_path / "jw_cal.fits", psf=PSF)
    assert (seen.weights[0, 0, :4] == 0).tolist() == [True, False, False, True]
    np.testing.assert_allclose(seen.weights[0, 5], (2e-14 * 1e15) ** -2, rtol=1e-6)
    assert "is data quality of Webb's kind; its bit is assumed: DO_NOT_USE 0" in said(seen)


def test_a_coadd_of_des(tmp_path: Path, noise: np.ndarray) -> None:
    mask = np.zeros(SHAPE, "i2")
    mask[0, :12] = 1 << np.arange(12)
    kinds = {"SCI": noise[0], "MSK": mask, "WGT": np.full(SHAPE, 1.0, "f4")}
    hdus = [
        fits.CompImageHDU(data, header(0.263, MAGZERO=30.0), name=name, compression_type="GZIP_1", quantize_level=0)
        for name, data in kinds.items()
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "DES0226-0416_r.fits.fz")
    (seen,) = read_observations(tmp_path / "DES0226-0416_r.fits.fz", psf=PSF, bands="r")
    size = 10 ** (0.4 * 1.4)
    np.testing.assert_allclose(seen.weights[0, 9], size**-2, rtol=1e-6)
    assert np.flatnonzero(seen.weights[0, 0] == 0).tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert "Dark Energy Survey's kind" in said(seen) and "HDU 3 (WGT) is taken for inverse variances" in said(seen)


@pytest.mark.parametrize("cards", [{"VISIT": 1228}, {"DETECTOR": 42}])
def test_the_wcs_of_a_visit_is_not_trusted(cards: dict[str, Any], tmp_path: Path, noise: np.ndarray) -> None:
    hdus = [fits.PrimaryHDU(header=fits.Header(cards)), fits.ImageHDU(noise[0], header(0.2), name="IMAGE")]
    hdus += [fits.ImageHDU(np.ones(SHAPE, "f4"), name="VARIANCE")]
    fits.HDUList(hdus).writeto(tmp_path / "calexp.fits")
    (seen,) = read_observations(tmp_path / "calexp.fits", psf=PSF)
    assert f"WARNING: looks like a single visit (it has {next(iter(cards))})" in said(seen)


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2"])
def test_quantised_floats_keep_their_undefined_pixels(kind: str, tmp_path: Path, noise: np.ndarray) -> None:
    image = noise[0].copy()
    image[4, 5:9] = np.nan
    hdu = fits.CompImageHDU(image, header(0.2), compression_type=kind, quantize_level=64)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits.fz")
    (seen,) = read_observations(tmp_path / "a.fits.fz", psf=PSF)
    assert not seen.weights[0, 4, 5:9].any() and seen.n_unmasked == image.size - 4
    # steps of a 64th of the noise
    np.testing.assert_allclose(seen.images[0][seen.weights[0] > 0], image[np.isfinite(image)], atol=1.5 / 64)
