"""Sessions that refer to their images: exact, small, and found where the files have gone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

from deblend import make_source
from deblend.detect import empty_scene
from deblend.io import DataNotFoundError, Reading, Session, read_session, write_session
from tests.engine.test_session import differences

SAMPLE = Path(__file__).parents[2] / "sample_data" / "two_telescopes"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images and PSFs of two telescopes."""
    folder = tmp_path_factory.mktemp("sky") / "images"
    folder.mkdir()
    for path in SAMPLE.glob("*.fits"):
        shutil.copy(path, folder)
    return folder


def session_of(images: Path) -> Session:
    """Return work on the images of a folder, two of them read with a PSF that is named."""
    names = ("hsc", "hst")
    reading = Reading.of([f"{images / name}.fits" for name in names], [f"{images}/psf-{name}.fits" for name in names])
    observations = reading.read()
    scene = empty_scene(observations)
    scene = scene.add(make_source("galaxy", 100.0, 120.0, n_channels=len(scene.channels)))
    return Session(scene, observations, files=reading.files, reading=reading, holds_images=False)


def test_a_session_refers_to_its_images_and_comes_back_to_the_last_bit(images: Path, tmp_path: Path) -> None:
    session, path = session_of(images), tmp_path / "work.asdf"
    assert write_session(path, session) == ()
    write_session(tmp_path / "whole.asdf", replace(session, holds_images=True))
    held = sum(o.images.nbytes + o.weights.nbytes for o in session.observations)
    assert path.stat().st_size < (tmp_path / "whole.asdf").stat().st_size - held
    assert not list(differences(read_session(path), session))
    # what the files do not give is kept in it, and said
    other = session.observations[0]
    other = replace(other, images=2.0 * other.images)
    changed = replace(session, observations=(other, session.observations[1]))
    (said,) = write_session(path, changed)
    assert said == "The images of HSC are kept in it, as the files hold other ones."
    assert not list(differences(read_session(path), changed))
    # where they came from no file, there is nothing to refer to
    with pytest.raises(ValueError, match=r"came from no files .* save them with it"):
        write_session(path, replace(session, reading=None))


def test_images_are_found_where_they_have_gone(images: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    shutil.copytree(images, first / "images")
    session = session_of(first / "images")
    write_session(first / "work.asdf", session)
    # session and images together
    second = first.rename(tmp_path / "second")
    moved = read_session(second / "work.asdf")
    assert not list(differences(moved.observations, session.observations))
    assert {Path(file.path).parent for file in moved.files} == {second / "images"}
    # images alone
    elsewhere = (second / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(DataNotFoundError, match=r"work.asdf: it refers to hsc.fits, which is no longer in .*first"):
        read_session(second / "work.asdf")
    found = read_session(second / "work.asdf", elsewhere)
    assert not list(differences(found.observations, session.observations))
    # other ones of the same name
    with fits.open(elsewhere / "hst.fits", mode="update") as file:
        hdu = next(hdu for hdu in file if hdu.data is not None)
        hdu.data[...] *= 2
    with pytest.raises(DataNotFoundError, match=r"the files in .*elsewhere give other images than when"):
        read_session(second / "work.asdf", elsewhere)
