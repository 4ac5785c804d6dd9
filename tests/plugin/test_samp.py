"""SAMP with a real hub: a catalog and an image go out, a table comes in, and where there is no hub that is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from napari_deblend.actions import perform
from tests.plugin.conftest import STARS

pytestmark = pytest.mark.gui


@pytest.fixture
def lockfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a hub of this test is looked for, and no other."""
    path = tmp_path / "hub"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{path.as_uri()}")
    return path


@pytest.fixture
def other(lockfile: Path) -> Iterator[Any]:
    """Another program that listens at a hub; what it was sent, as (message, file)."""
    from pyvo.samp import SAMPHubServer, SAMPIntegratedClient, conf

    conf.use_internet = False
    hub = SAMPHubServer(web_profile=False, mode="multiple", addr="127.0.0.1", lockfile=str(lockfile))
    hub.start()
    client = SAMPIntegratedClient(name="TOPCAT", addr="127.0.0.1")
    client.connect()
    client.taken = []

    def take(key: str, sender: str, message: str, parameters: dict[str, str], extra: Any) -> None:
        client.taken.append((message, parameters["url"].removeprefix("file://")))

    for message in ("table.load.votable", "image.load.fits"):
        client.bind_receive_notification(message, take)
    yield client
    client.disconnect()
    hub.stop()


def test_catalog_and_image_are_sent(opened: Any, other: Any, wait: Callable[..., None]) -> None:
    said: list[str] = []
    opened.told.connect(said.append)
    perform(opened, "send_catalog")
    wait(lambda: other.taken)
    message, path = other.taken.pop()
    table = Table.read(path, format="votable")
    assert message == "table.load.votable" and len(table) == len(STARS)
    wait(lambda: "was sent to TOPCAT" in said[-1])
    perform(opened, "send_image")
    wait(lambda: other.taken)
    message, path = other.taken.pop()
    assert message == "image.load.fits"
    with fits.open(path) as file:
        image = next(hdu for hdu in file if hdu.data is not None)
        np.testing.assert_allclose(image.data, opened.document.observations[0].images, rtol=1e-5)
        assert image.header["CTYPE1"].startswith("RA")
    wait(lambda: not opened.exporting.is_busy)


def test_a_table_becomes_sources_as_one_step(
    opened: Any, other: Any, wait: Callable[..., None], settle: Callable[[Any], None], tmp_path: Path
) -> None:
    before, wcs = opened.document.scene, opened.document.observations[0].wcs
    perform(opened, "toggle_samp")
    wait(lambda: len(other.get_registered_clients()) == 2)
    wait(lambda: other.get_subscribed_clients("table.load.votable"))
    places = np.array([[12.0, 15.0], [50.0, 20.0]])
    ra, dec = np.transpose([wcs.pixel_to_sky(x, y) for x, y in places])
    path = tmp_path / "sent.vot"
    Table({"ra": ra, "dec": dec}).write(path, format="votable")
    message = {"samp.mtype": "table.load.votable", "samp.params": {"url": path.as_uri(), "name": "my table"}}
    other.notify_all(message)
    wait(lambda: len(opened.document.scene.sources) == len(STARS) + 2)
    found = [(s.x, s.y) for s in opened.document.scene.sources[-2:]]
    np.testing.assert_allclose(found, places, atol=0.01)
    assert opened.document.undo_label == "Add 2 sources from my table"
    opened.document.undo()
    assert opened.document.scene is before
    settle(opened)
    said: list[str] = []
    opened.told.connect(said.append)
    message["samp.params"]["url"] = (tmp_path / "none.vot").as_uri()
    other.notify_all(message)
    wait(lambda: said and "my table could not be fetched" in said[-1])
    perform(opened, "toggle_samp")
    wait(lambda: len(other.get_registered_clients()) == 1)


def test_without_a_hub_one_sentence_says_so(opened: Any, lockfile: Path, wait: Callable[..., None]) -> None:
    said: list[str] = []
    opened.told.connect(said.append)
    perform(opened, "toggle_samp")
    wait(lambda: said and "No SAMP hub is running" in said[-1])
    said.clear()
    perform(opened, "send_image")
    wait(lambda: said and "Nothing could be sent: No SAMP hub is running" in said[-1])
