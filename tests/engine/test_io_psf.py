"""Files of PSFs as programs write them: on finer samples, of the optics alone, for many places of an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from deblend import Observation
from deblend.io import read_observations
from deblend.observe import centroid, full_width_half_maximum
from deblend.sky import TangentWcs

SCALE = 0.031
WCS = TangentWcs((150.0, 2.0), (20.0, 17.0), ((-SCALE, 0.0), (0.0, SCALE)))
SHAPE = (36, 42)
EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7)


def optics(width: float) -> galsim.GSObject:
    """Return a PSF of a full width [pix of the detector]."""
    return galsim.Moffat(beta=4.0, fwhm=width, gsparams=EXACT)


def samples(width: float, oversampling: int, side: int, *, over_pixels: bool) -> np.ndarray:
    profile = galsim.Convolve(optics(width), galsim.Pixel(1.0)) if over_pixels else optics(width)
    stamp = profile.drawImage(galsim.ImageD(side, side), scale=1.0 / oversampling, method="no_pixel")
    array: np.ndarray = stamp.array
    return array / array.sum()


def native(width: float, side: int = 25) -> np.ndarray:
    stamp: np.ndarray = optics(width).drawImage(galsim.ImageD(side, side), scale=1.0).array
    return stamp / stamp.sum()


@pytest.fixture
def image(tmp_path: Path, rng: np.random.Generator) -> Callable[..., Path]:
    """Make an image, with or without WCS."""

    def make(*, with_wcs: bool = True, bands: int = 1) -> Path:
        path = tmp_path / f"image{bands}.fits"
        header = WCS.to_header() if with_wcs else fits.Header()
        header["BUNIT"] = "nJy"
        data = rng.normal(size=SHAPE if bands == 1 else (bands, *SHAPE)).astype("f4")
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
        return path

    return make


def opened(image: Path, psf: Path, **options: object) -> Observation:
    (seen,) = read_observations(image, psf=psf, **options)
    return seen


def close_to(stamp: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Compare the middles of two stamps [peak]."""
    half = min(len(stamp), len(expected)) // 2 - 1
    cut = [
        a[len(a) // 2 - half : len(a) // 2 + half + 1, len(a) // 2 - half : len(a) // 2 + half + 1]
        for a in (stamp, expected)
    ]
    np.testing.assert_allclose(cut[0] / cut[0].sum(), cut[1] / cut[1].sum(), atol=tolerance * cut[1].max())


def stpsf_file(path: Path, width: float = 1.8, oversampling: int = 4) -> Path:
    """Write what STPSF does: optics, and optics with distortions, each on fine samples (of even side) and on pixels."""
    hdus: list[fits.hdu.base.ExtensionHDU] = []
    for name, wide in (("OVERSAMP", 0.9 * width), ("DET_SAMP", 0.9 * width), ("OVERDIST", width), ("DET_DIST", width)):
        fine = name.startswith("OVER")
        count = oversampling if fine else 1
        stamp = samples(wide, count, 25 * count, over_pixels=not fine)
        cards = fits.Header({"PIXELSCL": SCALE / count, "OVERSAMP": count, "DET_SAMP": oversampling, "EXTNAME": name})
        hdus.append((fits.ImageHDU if hdus else fits.PrimaryHDU)(stamp, cards))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("with_wcs", [True, False])
def test_stpsf_files_are_read_with_their_distortions_on_fine_samples(
    tmp_path: Path, image: Callable[..., Path], with_wcs: bool
) -> None:
    seen = opened(image(with_wcs=with_wcs), stpsf_file(tmp_path / "psf.fits"))
    assert seen.psf_oversampling == 4 and seen.fine_psf is not None
    close_to(seen.psf[0], native(1.8), 3e-3)
    assert "OVERDIST is taken for points of the optics' image" in " ".join(seen.notes)
    said = "PIXELSCL 0.00775″" if with_wcs else "DET_SAMP 4"
    assert any("lie 0.25 px of the image apart" in note and said in note for note in seen.notes)


def test_another_extension_of_an_stpsf_file_may_be_named(tmp_path: Path, image: Callable[..., Path]) -> None:
    path = stpsf_file(tmp_path / "psf.fits")
    seen = opened(image(), Path(f"{path}[DET_DIST]"))
    assert seen.psf_oversampling == 1
    close_to(seen.psf[0], native(1.8), 3e-3)


def test_an_image_drizzled_to_other_pixels_has_its_psf_on_them(tmp_path: Path, image: Callable[..., Path]) -> None:
    """Samples of 0.01″ on pixels of 0.031″: a fraction that is no whole number."""
    path = tmp_path / "psf.fits"
    stamp = optics(2.5 * SCALE).drawImage(galsim.ImageD(121, 121), scale=0.01, method="no_pixel").array
    fits.PrimaryHDU(stamp, fits.Header({"PIXELSCL": 0.01})).writeto(path)
    seen = opened(image(), path, psf_is_integrated=False)
    assert seen.psf_oversampling == 4
    close_to(seen.psf[0], native(2.5), 3e-3)


@pytest.mark.parametrize("cards", [{"SAMPLING": 0.25}, {"PSF_SAMP": 0.25}, {"OVERSAMP": 4}, "wcs", "said"])
def test_a_plain_stamp_says_its_sampling_in_any_of_these_ways(
    tmp_path: Path, image: Callable[..., Path], cards: dict[str, float] | str
) -> None:
    header, options = fits.Header(), {}
    if cards == "wcs":
        header = TangentWcs((10.0, 2.0), (40.0, 40.0), ((-SCALE / 4, 0.0), (0.0, SCALE / 4))).to_header()
    elif cards == "said":
        options["psf_oversampling"] = 4
    else:
        header.update(cards)
    path = tmp_path / "psf.fits"
    fits.PrimaryHDU(samples(2.0, 4, 81, over_pixels=True), header).writeto(path)
    seen = opened(image(), path, **options)
    assert seen.psf_oversampling == 4
    close_to(seen.psf[0], native(2.0), 2e-3)
    assert any("--psf-oversampling N says otherwise" in note for note in seen.notes) == (cards != "said")


def test_a_stamp_with_the_wcs_of_the_image_is_on_its_pixels(tmp_path: Path, image: Callable[..., Path]) -> None:
    path = tmp_path / "psf.fits"
    fits.PrimaryHDU(native(3.0), WCS.to_header()).writeto(path)
    seen = opened(image(), path)
    assert seen.psf_oversampling == 1 and not any("samples" in note for note in seen.notes)


def test_bands_of_different_sampling_come_to_one(tmp_path: Path, image: Callable[..., Path]) -> None:
    cube = image(bands=2)
    fine, coarse = tmp_path / "fine.fits", tmp_path / "coarse.fits"
    fits.PrimaryHDU(samples(2.6, 3, 61, over_pixels=True), fits.Header({"SAMPLING": 1 / 3})).writeto(fine)
    fits.PrimaryHDU(native(3.5)).writeto(coarse)
    with fits.open(cube) as file:
        for k in range(2):
            fits.PrimaryHDU(file[0].data[k], file[0].header).writeto(tmp_path / f"plane{k}.fits", overwrite=True)
    (seen,) = read_observations([tmp_path / "plane0.fits", tmp_path / "plane1.fits"], psf=[fine, coarse], bands="g,r")
    assert seen.psf_oversampling == 3 and seen.psf_field is None
    close_to(seen.psf[0], native(2.6), 2e-3)
    close_to(seen.psf[1], native(3.5), 2e-3)


def test_the_psf_of_the_images_own_file_is_used(tmp_path: Path, rng: np.random.Generator) -> None:
    """An HDU called PSF, as many cutouts have it; nothing else has to be said, and nothing is told of an HDU left
    aside."""
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(rng.normal(size=SHAPE).astype("f4"), WCS.to_header(), name="SCI"),
        fits.ImageHDU(np.ones(SHAPE, "f4"), name="VARIANCE"),
        fits.ImageHDU(native(3.0), name="PSF"),
    ]
    path = tmp_path / "blend_r.fits"
    hdus[1].header["FILTER"], hdus[1].header["BUNIT"] = "r", "nJy"
    fits.HDUList(hdus).writeto(path)
    fits.PrimaryHDU(native(6.0)).writeto(tmp_path / "blend_r_psf.fits")
    (seen,) = read_observations(path)
    close_to(seen.psf[0], native(3.0), 1e-4)
    assert "No PSF given; blend_r.fits[PSF] of the images' own files are used." in seen.notes
    assert not any("left aside" in note for note in seen.notes)
    # what is said comes first
    close_to(opened(path, tmp_path / "blend_r_psf.fits").psf[0], native(6.0), 1e-4)


def test_a_grid_of_stpsf_varies_over_the_image(tmp_path: Path, image: Callable[..., Path]) -> None:
    """Cards DET_YX hold (y, x); stamps are integrated and sum to the square of their sampling."""
    places = [(x, y) for y in (0, 35) for x in (0, 41)]
    widths = [1.8, 2.2, 1.9, 2.4]
    cube = np.stack([16 * samples(w, 4, 81, over_pixels=True) for w in widths])
    header = fits.Header({"OVERSAMP": 4})
    for k, (x, y) in enumerate(places):
        header[f"DET_YX{k}"] = (f"({float(y)}, {float(x)})", "The #0 PSF's (y,x) detector pixel position")
    path = tmp_path / "grid.fits"
    fits.PrimaryHDU(cube, header).writeto(path)
    seen = opened(image(), path)
    assert seen.psf_field is not None and seen.psf_field.n_cells == 4 and seen.psf_oversampling == 4
    for (x, y), width in zip(places, widths, strict=True):
        close_to(seen.psf_field.native_at(x, y)[0], native(width), 2e-3)
    assert any("interpolated between 4 places" in note for note in seen.notes)


def test_stdpsf_of_one_shape_everywhere_does_not_vary(tmp_path: Path, image: Callable[..., Path]) -> None:
    cube = np.repeat(samples(2.0, 4, 81, over_pixels=True)[None], 6, axis=0)
    cards = {"NXPSFS": 3, "NYPSFS": 2, "IPSFX01": 1, "IPSFX02": 20, "IPSFX03": 42, "JPSFY01": 1, "JPSFY02": 36}
    path = tmp_path / "STDPSF.fits"
    fits.PrimaryHDU(cube, fits.Header(cards)).writeto(path)
    seen = opened(image(), path)
    assert seen.psf_field is None and seen.psf_oversampling == 4
    close_to(seen.psf[0], native(2.0), 2e-3)
    assert "6 of its PSF stamps lie on or around the image; 1 tell" in " ".join(seen.notes)


@pytest.mark.parametrize("by", ["sky", "pixel"])
@pytest.mark.parametrize("centers", [("X_CENTER", "Y_CENTER"), ("GRIDX", "GRIDY")])
def test_a_stack_of_sourcextractor(
    tmp_path: Path, image: Callable[..., Path], by: str, centers: tuple[str, str]
) -> None:
    """Stamps side by side, their middles 1-based; most of them far from the image."""
    side, step = 31, 0.5
    places = np.array([(5.0, 6.0), (36.0, 8.0), (20.0, 30.0), (900.0, 30.0), (20.0, 4000.0), (7.0, 33.0)])
    widths = [2.0, 2.6, 2.3, 5.0, 5.0, 2.0]
    sheet = np.zeros((2 * side, 3 * side))
    middles = []
    for k, width in enumerate(widths):
        row, column = divmod(k, 3)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = samples(
            width, 2, side, over_pixels=True
        )
        middles.append((column * side + side // 2 + 1, row * side + side // 2 + 1))
    columns = dict(zip(centers, np.array(middles, float).T, strict=True))
    columns |= {"X": places[:, 0] + 1, "Y": places[:, 1] + 1}
    if by == "sky":
        columns["RA"], columns["DEC"] = WCS.pixel_to_sky(*places.T)
        columns["X"] = columns["Y"] = np.zeros(6)
    table = fits.BinTableHDU(Table(columns))
    path = tmp_path / "stack.fits"
    stamps = fits.ImageHDU(sheet, fits.Header({"STMPSIZE": side, "SAMPLING": step}))
    fits.HDUList([fits.PrimaryHDU(), stamps, table]).writeto(path)
    seen = opened(image(), path)
    assert seen.psf_oversampling == 2 and seen.psf_field is not None
    assert full_width_half_maximum(seen.psf[0]) < 3.2
    for k in (0, 1, 2, 5):
        close_to(seen.psf_field.native_at(*places[k])[0], native(widths[k]), 4e-3)
    assert max(map(abs, centroid(seen.psf[0]))) < 0.02


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda h: h.update({"DET_YX1": "nowhere"}), "DET_YX1 is no place: 'nowhere'"),
        (lambda h: h.remove("OVERSAMP"), "is no whole grid of PSF stamps .*OVERSAMP"),
        (lambda h: h.remove("DET_YX1"), r"has 1 places for data of shape \(2, 21, 21\)"),
    ],
)
def test_damaged_grids_are_named(
    tmp_path: Path, image: Callable[..., Path], spoil: Callable[[fits.Header], None], said: str
) -> None:
    header = fits.Header({"OVERSAMP": 2, "DET_YX0": "(0, 0)", "DET_YX1": "(0, 41)"})
    spoil(header)
    path = tmp_path / "grid.fits"
    fits.PrimaryHDU(np.repeat(samples(2.0, 2, 21, over_pixels=True)[None], 2, axis=0), header).writeto(path)
    with pytest.raises(ValueError, match=rf"grid\.fits.*{said}"):
        opened(image(), path)


@pytest.fixture
def starry(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, np.ndarray]:
    """An image of stars, two bands of one seeing each, and their places (x, y)."""
    places = np.array([(40 + 60 * i + 0.3 * j, 45 + 55 * j + 0.2 * i) for i in range(4) for j in range(3)])
    planes = []
    for width in (2.6, 3.4):
        sky = galsim.ImageD(260, 200, scale=1.0)
        for x, y in places:
            box = galsim.BoundsI(int(x) - 29, int(x) + 31, int(y) - 29, int(y) + 31)
            place = galsim.PositionD(x + 1, y + 1)
            sky[box] += (optics(width) * 3000).drawImage(image=galsim.ImageD(box), scale=1.0, center=place)
        planes.append(sky.array + rng.normal(size=(200, 260)))
    path = tmp_path / "stars.fits"
    fits.PrimaryHDU(np.stack(planes), fits.Header({"BUNIT": "nJy"})).writeto(path)
    return path, places


def test_stars_of_the_image_make_its_psf(tmp_path: Path, starry: tuple[Path, np.ndarray]) -> None:
    path, places = starry
    (found,) = read_observations(path, psf="stars", bands="g,r")
    table = tmp_path / "places.csv"
    Table({"x": places[:6, 0], "y": places[:6, 1]}).write(table)
    (given,) = read_observations(path, psf=f"stars:{table}", psf_oversampling=2, bands="g,r")
    assert given.psf_oversampling == 2 and found.psf_oversampling == 1
    for seen, said in ((found, "PSF from 12 stars found in the image"), (given, "PSF from 6 stars given")):
        close_to(seen.psf[0], native(2.6), 0.02)
        close_to(seen.psf[1], native(3.4), 0.02)
        assert any(said in note for note in seen.notes), seen.notes


def test_a_table_of_stars_that_is_not_there_is_named(starry: tuple[Path, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.csv: there is no such table; check --psf stars:FILE"):
        read_observations(starry[0], psf="stars:nowhere.csv")
