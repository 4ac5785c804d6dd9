"""Positions from tables: pixels or sky, in the formats people have; what is wrong is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from deblend.io import read_peaks, read_positions
from deblend.observe import Observation, gaussian_psf
from deblend.sky import TangentWcs

X, Y = np.array([3.5, 10.0, 0.0]), np.array([4.25, 1.0, 7.0])
STEP = 0.168
WCS = TangentWcs((150.0, 2.2), (23.5, 28.5), ((-STEP, 0.0), (0.0, STEP)))


@pytest.fixture
def observation(rng: np.random.Generator) -> Observation:
    return Observation.from_arrays(rng.normal(size=(30, 30)), gaussian_psf(3.0), name="HSC", wcs=WCS)


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n3.5,4.25\n10,1\n0,7\n",
        "x, y\n3.5, 4.25\n10, 1\n0, 7\n\n",
        "X,Y\r\n3.5,4.25\r\n10,1\r\n0,7\r\n",
        "index,x,y,is_star,component\n10,3.5,4.25,False,mix\n1,10,1,True,star\n2,0,7,False,mix\n",
        "y,name,x\n4.25,a,3.5\n1,,10\n7,c,0\n",
        "x,y,ra,dec\n3.5,4.25,0,0\n10,1,0,0\n0,7,0,0\n",
    ],
    ids=["plain", "spaces", "capitals and CRLF", "other columns", "other order", "x and y come first"],
)
def test_pixels_from_csv(text: str, tmp_path: Path, observation: Observation) -> None:
    path = tmp_path / "peaks.csv"
    path.write_text(text, newline="")
    np.testing.assert_allclose(np.stack(read_peaks(path, observation)), np.stack([X, Y]))


@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".fits", ".txt"])
def test_sky_positions_in_every_format(suffix: str, tmp_path: Path, observation: Observation) -> None:
    path = tmp_path / f"peaks{suffix}"
    ra, dec = WCS.pixel_to_sky(X, Y)
    formats = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".txt": "ascii.commented_header"}
    Table({"RA": ra, "DEC": dec, "mag": X}).write(path, format=formats[suffix])
    np.testing.assert_allclose(np.stack(read_peaks(str(path), observation)), np.stack([X, Y]), atol=1e-6)


@pytest.mark.parametrize(
    ("suffix", "unit"),
    [
        (".ecsv", units.deg),
        (".ecsv", units.rad),
        (".ecsv", units.hourangle),
        (".fits", units.deg),
        (".fits", units.rad),
    ],
)
def test_units_of_sky_positions(suffix: str, unit: units.Unit, tmp_path: Path, observation: Observation) -> None:
    ra, dec = WCS.pixel_to_sky(X, Y)
    table = QTable({"ra": (ra * units.deg).to(unit), "dec": dec * units.deg})
    table.write(tmp_path / f"p{suffix}")
    np.testing.assert_allclose(np.stack(read_peaks(tmp_path / f"p{suffix}", observation)), [X, Y], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", r"p\.csv: needs columns x and y, or ra and dec; it has a, b"),
        ("x,ra\n1,2\n", r"needs columns x and y, or ra and dec"),
        ("x,y\n", r"p\.csv: has no rows; leave --peaks out"),
        ("", r"p\.csv: has no rows"),
        ("x,y\n1,2\n3,\n", r"p\.csv: column y has no number in row 1"),
        ("x,y\n1,2\n3,nan\n", r"p\.csv: column y has no number in row 1"),
        ("x,y\n1,2\nthree,4\n", r"p\.csv: column x must hold numbers"),
        ("ra,dec\n10:00:01.2,+02:13:07\n", r"p\.csv: column ra must hold numbers"),
        ("x,y\n1,2,3\n4,5,6\n", r"p\.csv: cannot be read as a table"),
    ],
)
def test_bad_tables_are_one_sentence(text: str, says: str, tmp_path: Path, observation: Observation) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as raised:
        read_peaks(path, observation)
    assert "\n" not in str(raised.value)


def test_a_missing_table_and_a_missing_wcs(tmp_path: Path, rng: np.random.Generator) -> None:
    bare = Observation.from_arrays(rng.normal(size=(30, 30)), gaussian_psf(3.0), name="bare")
    with pytest.raises(ValueError, match=r"gone\.csv: there is no such table"):
        read_peaks(tmp_path / "gone.csv", bare)
    (tmp_path / "p.csv").write_text("ra,dec\n150.0,2.2\n")
    with pytest.raises(ValueError, match="bare has no WCS; give x and y instead"):
        read_peaks(tmp_path / "p.csv", bare)
    Table({"ra": [1.0] * units.m, "dec": [1.0] * units.m}).write(tmp_path / "p.ecsv")
    with pytest.raises(ValueError, match="which is no angle"):
        read_peaks(
            tmp_path / "p.ecsv",
            Observation.from_arrays(rng.normal(size=(30, 30)), gaussian_psf(3.0), wcs=WCS),
        )


@pytest.mark.parametrize(
    ("names", "origin"),
    [
        (("x", "y"), 0),
        (("X_IMAGE", "Y_IMAGE"), 1),
        (("XWIN_IMAGE", "YWIN_IMAGE"), 1),
        (("xcentroid", "ycentroid"), 0),
        (("base_SdssCentroid_x", "base_SdssCentroid_y"), 0),
    ],
)
@pytest.mark.parametrize("given", [None, 0, 1])
def test_pixels_are_counted_as_their_program_does(
    names: tuple[str, str], origin: int, given: int | None, tmp_path: Path, observation: Observation
) -> None:
    path = tmp_path / "cat.csv"
    counted = origin if given is None else given
    Table({names[0]: X + counted, names[1]: Y + counted}).write(path, format="ascii.csv")
    positions = read_positions(path, observation, given)
    np.testing.assert_allclose([positions.x, positions.y], [X, Y], atol=1e-12)
    (note,) = positions.notes
    assert f"{names[0]}, {names[1]} are pixels counted from {counted}" in note
    assert ("--peaks-origin" in note) == (given is None)


@pytest.mark.parametrize(
    "names",
    [("RAJ2000", "DEJ2000"), ("ALPHA_J2000", "DELTA_J2000"), ("coord_ra", "coord_dec"), ("RA_ICRS", "DE_ICRS")],
)
def test_sky_columns_come_before_pixels_of_another_image(
    names: tuple[str, str], tmp_path: Path, observation: Observation
) -> None:
    ra, dec = WCS.pixel_to_sky(X, Y)
    path = tmp_path / "cat.csv"
    Table({"X_IMAGE": X + 1000, "Y_IMAGE": Y, names[0]: ra, names[1]: dec}).write(path, format="ascii.csv")
    positions = read_positions(path, observation)
    np.testing.assert_allclose([positions.x, positions.y], [X, Y], atol=1e-6)
    assert "right ascension and declination, in degrees (assumed)" in positions.notes[0]


@pytest.mark.parametrize(
    ("suffix", "table_format"),
    [(".vot", "votable"), (".xml", "votable"), (".fits.gz", "fits"), (".parquet", "parquet")],
)
def test_more_formats(suffix: str, table_format: str, tmp_path: Path, observation: Observation) -> None:
    if table_format == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / f"cat{suffix}"
    Table({"x": X, "y": Y}).write(path, format=table_format)
    np.testing.assert_allclose(read_peaks(path, observation), [X, Y])


REGIONS = """# Region file format: DS9 version 4.1
global color=green
{frame}
point({p0}) # point=x text={{one}}
circle({p1},{size})
ellipse({p2},{size},{size},30)
text({p0}) # text={{a word}}
"""


@pytest.mark.parametrize("frame", ["image", "fk5", "icrs"])
@pytest.mark.parametrize("origin", [None, 0, 1])
def test_regions(frame: str, origin: int | None, tmp_path: Path, observation: Observation) -> None:
    """DS9 counts pixels from 1; on the sky it does not matter."""
    pytest.importorskip("regions", reason="the library regions is not installed")
    counted = 1 if origin is None else origin
    ra, dec = WCS.pixel_to_sky(X, Y)
    if frame == "fk5":
        fk5 = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to("fk5")
        ra, dec = fk5.ra.deg, fk5.dec.deg
    places = np.stack([X + counted, Y + counted]) if frame == "image" else np.stack([ra, dec])
    text = [f"{float(a):.9f},{float(b):.9f}" for a, b in places.T]
    path = tmp_path / "sources.reg"
    size = "3" if frame == "image" else '2"'
    path.write_text(REGIONS.format(frame=frame, p0=text[0], p1=text[1], p2=text[2], size=size))
    positions = read_positions(path, observation, origin)
    np.testing.assert_allclose([positions.x, positions.y], [X, Y], atol=1e-3)
    said = "\n".join(positions.notes)
    assert "1 regions that are no point, circle or ellipse left aside" in said
    assert (f"image coordinates are counted from {counted}" in said) == (frame == "image")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image\nbox(1,2,3,4,0)\n", r"s\.reg: holds no point, circle or ellipse"),
        ("", r"s\.reg: holds no point, circle or ellipse"),
        ('icrs\ncircle(150.0,2.2,2")\n', "s.reg: is on the sky, and bare has no WCS; give image coordinates"),
    ],
)
def test_bad_regions_are_one_sentence(text: str, says: str, tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("regions", reason="the library regions is not installed")
    bare = Observation.from_arrays(rng.normal(size=(30, 30)), gaussian_psf(3.0), name="bare")
    (tmp_path / "s.reg").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_positions(tmp_path / "s.reg", bare)
