"""Positions from tables: pixels or sky, in the formats people have; what is wrong is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.table import QTable, Table

from deblend.io import read_peaks
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
