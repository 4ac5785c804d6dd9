"""Cut-outs: the right pixels, weights and masks of every image, on the right place of the sky."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from deblend import Status, empty_scene, make_source
from deblend.detect import carried
from deblend.io import PixelCutout, SkyCutout, cut_out, cutout_from_text, read_observations
from deblend.io.fits_file import read_image
from deblend.observe import Observation, gaussian_psf
from deblend.sky import PixelAffine, PixelBox, TangentWcs, moved_header

SHAPE = (120, 140)
RA, DEC = 150.1, 2.2


def sky_header(shape: tuple[int, int] = SHAPE, scale: float = 0.2, angle: float = 0.0, sip: float = 0.0) -> fits.Header:
    """Return a header whose middle lies at (RA, DEC), with pixels of `scale` [arcsec] turned by `angle` [deg]."""
    turn, step = np.radians(angle), scale / 3600
    suffix = "-SIP" if sip else ""
    header = fits.Header({"CTYPE1": f"RA---TAN{suffix}", "CTYPE2": f"DEC--TAN{suffix}", "CRVAL1": RA, "CRVAL2": DEC})
    header["CRPIX1"], header["CRPIX2"] = shape[1] / 2 + 0.5, shape[0] / 2 + 0.5
    header["CD1_1"], header["CD1_2"] = -step * np.cos(turn), step * np.sin(turn)
    header["CD2_1"], header["CD2_2"] = step * np.sin(turn), step * np.cos(turn)
    if sip:
        header["A_ORDER"], header["B_ORDER"], header["A_2_0"], header["B_1_1"] = 2, 2, sip, -2 * sip
    return header


def pixels(shape: tuple[int, int] = SHAPE, seed: int = 1) -> np.ndarray:
    """Return an image of which every pixel is another: noise of 1."""
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def save(path: Path, data: np.ndarray, header: fits.Header | None = None, **cards: Any) -> Path:
    header = fits.Header() if header is None else header.copy()
    header.update(cards)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return path


@pytest.fixture
def psf(tmp_path: Path) -> Path:
    return save(tmp_path / "psf.fits", gaussian_psf(3.0))


def notes(observation: Observation) -> str:
    return "\n".join(observation.notes)


@pytest.mark.parametrize(
    "text",
    [
        "150.1 2.2 30",
        "150.1, 2.2, 30",
        "10:00:24 +02:12:00 30",
        "10 00 24 +02 12 00 30",
        "10h00m24s +02d12m00s 0.5 arcmin",
        "150d06m00s 2d12m00s 0.5'",
        '150.1 2.2 30"',
    ],
)
def test_sky_is_said_as_astronomers_say_it(text: str) -> None:
    cutout = cutout_from_text(text)
    assert isinstance(cutout, SkyCutout) and not cutout.in_pixels
    np.testing.assert_allclose((cutout.ra, cutout.dec, cutout.side), (150.1, 2.2, 30.0), rtol=1e-12)


def test_sizes_may_be_pixels_and_boxes_may_be() -> None:
    assert cutout_from_text("150.1 -2.2 300px") == SkyCutout(150.1, -2.2, 300.0, in_pixels=True)
    assert cutout_from_text("100:400, 20:50") == PixelCutout(PixelBox((100, 400), (20, 50)))


@pytest.mark.parametrize("text", ["", "150 2", "x y z", "150 2 -3", "150 95 3", "400:100,2:5", "150 2 3kg", "1:2"])
def test_what_is_no_cutout_is_said_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"cut-out .*RA DEC SIZE.*X0:X1,Y0:Y1"):
        cutout_from_text(text)


def compressed(path: Path, data: np.ndarray, header: fits.Header) -> Path:
    fits.CompImageHDU(data, header, compression_type="RICE_1", quantize_level=16).writeto(path)
    return path


def scaled(path: Path, data: np.ndarray, header: fits.Header) -> Path:
    hdu = fits.PrimaryHDU(np.round(100 * data).astype("i2"), header)
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.01, 0.0
    hdu.writeto(path)
    return path


def packed(path: Path, data: np.ndarray, header: fits.Header) -> Path:
    whole = save(path.with_suffix(""), data, header)
    path.write_bytes(bz2.compress(whole.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "make", "error"),
    [
        ("a.fits", save, 0.0),
        ("a.fits.fz", compressed, 0.05),
        ("scaled.fits", scaled, 0.0051),
        ("a.fits.bz2", packed, 0.0),
    ],
)
def test_a_piece_holds_the_pixels_of_the_whole(
    name: str, make: Callable[..., Path], error: float, tmp_path: Path, psf: Path
) -> None:
    data = pixels()
    path = make(tmp_path / name, data, sky_header())
    piece = Observation.read(path, psf=psf, cutout="30:80,50:90")
    whole = Observation.read(path, psf=psf)
    assert piece.shape == (40, 50)
    np.testing.assert_array_equal(piece.images, whole.images[:, 50:90, 30:80])
    np.testing.assert_allclose(piece.images[0], data[50:90, 30:80], atol=error)
    assert "only a piece is read: x 30 to 79, y 50 to 89 of its 140 × 120 px." in notes(piece)
    x, y = np.array([0.0, 49.0, 11.5]), np.array([0.0, 39.0, 20.25])
    assert piece.wcs is not None and whole.wcs is not None
    back = whole.wcs.sky_to_pixel(*piece.wcs.pixel_to_sky(x, y))
    np.testing.assert_allclose(back, (x + 30, y + 50), atol=1e-6)


@pytest.mark.parametrize("distortion", [0.0, 2e-5])
def test_the_wcs_of_a_piece_is_that_of_the_whole(distortion: float, tmp_path: Path) -> None:
    """To 1e-6 px, distortions included: the cards are moved, SIP is written around CRPIX."""
    header = sky_header(angle=30.0, sip=distortion)
    path = save(tmp_path / "a.fits", pixels(), header)
    piece = read_image(path, cut=lambda *_: PixelBox((71, 133), (5, 47)))
    ours, whole = WCS(piece.cards.own), WCS(header)
    y, x = np.mgrid[:42:7, :62:9].astype(float)
    ra, dec = ours.all_pix2world(x, y, 0)
    back_x, back_y = whole.all_world2pix(ra, dec, 0, tolerance=1e-9)
    np.testing.assert_allclose(back_x, x + 71, atol=1e-6)
    np.testing.assert_allclose(back_y, y + 5, atol=1e-6)


def test_the_local_affine_is_fitted_to_the_piece(tmp_path: Path, psf: Path) -> None:
    """Over 20 px the distortion is straight; over the whole image it is not."""
    header = sky_header(sip=2e-4)
    path = save(tmp_path / "a.fits", pixels(), header)
    piece, whole = (Observation.read(path, psf=psf, cutout=c) for c in ("110:130,90:110", None))
    assert piece.wcs is not None and whole.wcs is not None
    assert piece.wcs.residual < 0.05 < 0.5 < whole.wcs.residual
    x, y = np.array([0.0, 19.0, 0.0]), np.array([0.0, 0.0, 19.0])
    truth = WCS(header).all_pix2world(x + 110, y + 90, 0)
    back = piece.wcs.sky_to_pixel(*truth)
    np.testing.assert_allclose(back, (x, y), atol=piece.wcs.residual + 1e-9)


def test_alternate_wcs_move_too_and_headers_without_stay() -> None:
    header = fits.Header({"CRPIX1A": 5, "CTYPE2": "DEC--TAN"})
    moved = moved_header(header, 3, 4)
    assert (moved["CRPIX1A"], moved["CRPIX2"]) == (2.0, -4.0) and "CRPIX1" not in moved


def test_weights_masks_and_variances_are_cut_alike(tmp_path: Path, psf: Path) -> None:
    data, rng = pixels(), np.random.default_rng(5)
    weight = rng.uniform(0.5, 1.5, SHAPE)
    plain = save(tmp_path / "plain.fits", data, sky_header())
    given = save(tmp_path / "weights.fits", weight)
    piece = Observation.read(plain, psf=psf, weights=given, cutout="30:80,50:90")
    np.testing.assert_allclose(piece.weights[0], weight[50:90, 30:80], rtol=1e-12)

    mask = np.zeros(SHAPE, "i4")
    mask[60, 40] = 1 << 1  # SAT
    parts = {"IMAGE": data, "MASK": mask, "VARIANCE": (1 / weight).astype("f8")}
    hdus = [fits.ImageHDU(part, sky_header(), name=name) for name, part in parts.items()]
    lsst = tmp_path / "calexp.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(lsst)
    piece = Observation.read(lsst, psf=psf, cutout="30:80,50:90")
    expected = weight[50:90, 30:80].copy()
    expected[10, 10] = 0.0
    np.testing.assert_allclose(piece.weights[0], expected, rtol=1e-12)

    drizzled = tmp_path / "drz.fits"
    hdus = [fits.ImageHDU(part, name=name) for name, part in (("SCI", data), ("ERR", weight**-0.5))]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(drizzled)
    piece = Observation.read(drizzled, psf=psf, cutout="30:80,50:90")
    np.testing.assert_allclose(piece.weights[0], weight[50:90, 30:80], rtol=1e-12)


def test_weights_of_another_shape_are_named(tmp_path: Path, psf: Path) -> None:
    plain, other = save(tmp_path / "a.fits", pixels()), save(tmp_path / "w.fits", np.ones((40, 50)))
    with pytest.raises(ValueError, match=r"w\.fits, HDU 0.*50 × 40 px are not those of the image.*140 × 120 px"):
        read_observations(plain, psf=psf, weights=other, cutout="30:80,50:90")


@pytest.mark.parametrize("text", [f"{RA} {DEC} 8", f"{RA} {DEC} 40px", f"10:00:24 +02:12:00 {8 / 60} arcmin"])
def test_a_box_on_the_sky_is_cut_from_every_telescope(text: str, tmp_path: Path, psf: Path) -> None:
    """The first image's square; of the others the smallest boxes that cover it."""
    wide = [save(tmp_path / f"{b}.fits", pixels(), sky_header(), SURVEY="wide", BANDS=b) for b in "gr"]
    shape = (500, 420)
    sharp = save(tmp_path / "sharp.fits", pixels(shape), sky_header(shape, 0.05, 30.0), SURVEY="sharp", BANDS="w")
    first, second = read_observations([*wide, sharp], psf=psf, cutout=text)
    assert first.shape == (40, 40) and [c.band for c in first.channels] == ["g", "r"]
    assert first.wcs is not None and second.wcs is not None
    ra, dec = first.wcs.pixel_to_sky(19.5, 19.5)
    np.testing.assert_allclose((float(ra), float(dec)), (RA, DEC), atol=0.11 / 3600)
    x, y = second.wcs.sky_to_pixel(*first.wcs.pixel_to_sky(*PixelBox((0, 40), (0, 40)).outline()))
    height, width = second.shape
    for low, high, size in ((x.min(), x.max(), width), (y.min(), y.max(), height)):
        assert -0.5 - 0.03 <= low < 0.5 + 0.03 and size - 1.5 - 0.03 < high <= size - 0.5 + 0.03


def test_a_box_at_an_edge_is_what_there_is(tmp_path: Path, psf: Path) -> None:
    path = save(tmp_path / "a.fits", pixels(), sky_header())
    assert Observation.read(path, psf=psf, cutout="100:300,-50:30").shape == (30, 40)


@pytest.mark.parametrize("text", ["150.2 2.2 10", "330.1 -2.2 10", "200:300,0:50"])
def test_a_cutout_that_misses_the_image_names_it(text: str, tmp_path: Path, psf: Path) -> None:
    path = save(tmp_path / "near.fits", pixels(), sky_header(sip=1e-6))
    with pytest.raises(ValueError, match=r"near\.fits, HDU 0.*: the cut-out \(.*\) misses this image, which") as caught:
        read_observations(path, psf=psf, cutout=text)
    assert str(caught.value).count(". ") == 0


def test_a_cutout_that_misses_the_second_image_names_that(tmp_path: Path, psf: Path) -> None:
    header = sky_header()
    near = save(tmp_path / "near.fits", pixels(), header)
    far = save(tmp_path / "far.fits", pixels(), header, CRVAL1=151.0)
    with pytest.raises(ValueError, match=r"far\.fits, HDU 0.*: the cut-out"):
        read_observations([near, far], psf=psf, cutout=f"{RA} {DEC} 5")


def test_without_a_wcs_only_pixels_can_be_cut(tmp_path: Path, psf: Path) -> None:
    bare = save(tmp_path / "bare.fits", pixels())
    twin = save(tmp_path / "twin.fits", pixels(seed=2))
    other = save(tmp_path / "other.fits", pixels((90, 90)))
    with pytest.raises(ValueError, match=r"bare\.fits, HDU 0.*: has no WCS.*X0:X1,Y0:Y1"):
        read_observations(bare, psf=psf, cutout=f"{RA} {DEC} 5")
    (both,) = read_observations([bare, twin], psf=psf, cutout="5:25,5:25", bands="a,b", survey="x")
    np.testing.assert_array_equal(both.images[1], pixels(seed=2)[5:25, 5:25])
    with pytest.raises(ValueError, match=r"other\.fits, HDU 0.*: the cut-out of .*bare\.fits, HDU 0.* cannot be found"):
        read_observations([bare, other], psf=psf, cutout="5:25,5:25")


def test_images_too_large_to_be_read_whole_ask_for_a_cutout(
    tmp_path: Path, psf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "wide.fits", pixels())
    monkeypatch.setattr("deblend.io.fits_file.MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match=r"wide\.fits, HDU 0.*140 × 120 px are too many.*--cutout"):
        read_observations(path, psf=psf)
    assert Observation.read(path, psf=psf, cutout="0:30,0:30").shape == (30, 30)


def test_a_large_file_packed_whole_is_said_to_be_slow(
    tmp_path: Path, psf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / "a.fits.bz2", pixels(), sky_header())
    monkeypatch.setattr("deblend.io.fits_file.LARGE_FILE", 10_000)
    assert "is packed whole" in notes(Observation.read(path, psf=psf, cutout="0:30,0:30"))
    assert "is packed whole" not in notes(Observation.read(path, psf=psf))


def test_a_psfex_model_is_taken_at_the_place_in_the_whole_image(tmp_path: Path) -> None:
    """A spike gives light to its right in proportion to x, to its top in proportion to y."""
    mask = np.zeros((3, 9, 9))
    mask[0, 4, 4], mask[1, 4, 5], mask[2, 5, 4] = 1000.0, 1.0, 1.0
    mask[1:, 4, 4] = -1.0
    columns = [fits.Column("PSF_MASK", f"{mask.size}E", dim="(9,9,3)", array=mask[None].astype("f4"))]
    table = fits.BinTableHDU.from_columns(columns, name="PSF_DATA")
    table.header.update({"POLNAXIS": 2, "POLNAME1": "X_IMAGE", "POLNAME2": "Y_IMAGE", "POLDEG1": 1, "PSF_SAMP": 1.0})
    for axis in (1, 2):
        table.header[f"POLZERO{axis}"], table.header[f"POLSCAL{axis}"] = 0.0, 1.0
    model = tmp_path / "model.psf"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(model)
    path = save(tmp_path / "a.fits", pixels())
    piece, whole = (Observation.read(path, psf=model, cutout=c) for c in ("30:80,50:90", None))
    assert piece.psf_field is not None and whole.psf_field is not None
    for x, y in ((24.5, 19.5), (3.0, 30.0)):
        # cells lie elsewhere, and each is centered by itself; at the place in the piece it is ten times as far off
        np.testing.assert_allclose(piece.psf_field.at(x, y), whole.psf_field.at(30 + x, 50 + y), atol=3e-3)
        assert np.abs(piece.psf_field.at(x, y) - whole.psf_field.at(x, y)).max() > 2e-2
    np.testing.assert_allclose(piece.psf, whole.psf_field.native_at(30 + 24.5, 50 + 19.5), atol=3e-3)
    # an open observation that is cut takes its varying PSF along
    (cut,) = cut_out([whole], "30:80,50:90")
    np.testing.assert_allclose(cut.psf, piece.psf, atol=3e-3)
    assert cut.psf_field is not None
    np.testing.assert_allclose(cut.psf_field.at(3.0, 30.0), whole.psf_field.at(33.0, 80.0), atol=1e-12)


def test_open_observations_are_cut_as_files_are(tmp_path: Path, psf: Path) -> None:
    shape = (500, 420)
    near = save(tmp_path / "near.fits", pixels(), sky_header(), SURVEY="near")
    sharp = save(tmp_path / "sharp.fits", pixels(shape), sky_header(shape, 0.05, 30.0), SURVEY="sharp")
    said = f"{RA} {DEC} 6"
    for ours, files in zip(
        cut_out(read_observations([near, sharp], psf=psf), said),
        read_observations([near, sharp], psf=psf, cutout=said),
        strict=True,
    ):
        np.testing.assert_array_equal(ours.images, files.images)
        assert ours.wcs is not None and ours.wcs.is_same_grid(files.wcs, 1e-9)
        assert "cut out at x" in notes(ours)
    with pytest.raises(ValueError, match=r"near: the cut-out .* misses this image"):
        cut_out(read_observations([near, sharp], psf=psf), "500:510,0:10")


@pytest.mark.parametrize("on_sky", [True, False])
def test_sources_go_with_the_piece_or_are_said_to_be_outside(on_sky: bool) -> None:
    header = sky_header()
    observation = Observation.from_arrays(
        pixels(), gaussian_psf(3.0), wcs=TangentWcs.from_header(header, SHAPE) if on_sky else None
    )
    scene = empty_scene([observation])
    inside, outside = (make_source("point", x, 60.5, n_channels=1, flux=[1.0]) for x in (70.25, 10.0))
    scene = scene.add(inside.with_status(Status.LOCKED), outside)
    pieces = cut_out([observation], "50:100,40:90")
    moved, gone = carried(scene, pieces, None if on_sky else PixelAffine(offset=(-40, -50)))
    assert [s.id for s in moved.sources] == [inside.id] and [s.id for s in gone] == [outside.id]
    np.testing.assert_allclose((moved.sources[0].x, moved.sources[0].y), (20.25, 20.5), atol=1e-6)
    assert moved.sources[0].is_locked and moved.grid.shape == (50, 50)
