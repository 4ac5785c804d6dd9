"""SAMP: tables and images to TOPCAT, DS9, Aladin and whatever else listens, and tables from them as sources.

Programs meet at a hub that one of them runs (Taylor et al. 2015, A&C 11, 81). Talking to it happens in the threads of
the machine, the finder and the client, never in the window; what arrives waits in the finder's mailbox.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import xmlrpc.client
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np

from deblend.io import write_models
from napari_deblend.export import Job, Task, catalog_job, in_words
from napari_deblend.jobs import SAMP, SAMP_TABLE
from napari_deblend.loading import read_sources
from napari_deblend.machine import Machine
from napari_deblend.runner import sentence_of
from napari_deblend.views import View

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

TABLE, IMAGE = "table.load.votable", "image.load.fits"
RECEIVED = {TABLE: ".vot", "table.load.fits": ".fits"}
"""Messages that bring tables, and the endings of what comes with them."""
NO_HUB = "No SAMP hub is running; start TOPCAT, DS9 or Aladin, connect it to SAMP, and try again."
PATIENCE = 20.0
"""How long a table is waited for [s]."""


def _troubles() -> tuple[type[Exception], ...]:
    """Return what goes wrong where a hub is gone, or does not answer as it should."""
    from pyvo.samp import SAMPClientError, SAMPHubError

    return SAMPClientError, SAMPHubError, xmlrpc.client.Error, HTTPException, OSError


class Samp:
    """Meets other programs at their hub, for one workbench."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._lock = threading.Lock()
        self._client: Any = None
        self._folder: Path | None = None
        bench.closed.connect(self._leave)

    @property
    def is_connected(self) -> bool:
        """Whether tables can come; asks the hub, so not to be used in the window's thread."""
        if self._client is None:
            return False
        try:
            self._client.ping()
        except _troubles():
            return False
        return True

    def connect(self) -> Any:
        """Return the client, registered at the hub; raises ValueError where there is none. Not for the window's
        thread."""
        with self._lock:
            if self.is_connected:
                return self._client
            from pyvo.samp import SAMPIntegratedClient

            about = "Takes blended stars and galaxies apart"
            client = SAMPIntegratedClient(name="napari-deblend", description=about, addr="127.0.0.1")
            try:
                client.connect()
            except _troubles() as error:
                raise ValueError(NO_HUB) from error
            # what comes is answered with it
            self._client = client
            for message in RECEIVED:
                client.bind_receive_call(message, self._on_call)
                client.bind_receive_notification(message, self._on_notification)
            return client

    def disconnect(self) -> None:
        """Leave the hub, and forget what was sent. Not for the window's thread."""
        with self._lock:
            client, self._client = self._client, None
            folder, self._folder = self._folder, None
        if client is not None:
            try:
                client.disconnect()
            except _troubles():
                # the hub has gone before: only our own end is to be closed
                client.client.stop()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def send(self, message: str, path: Path, name: str) -> str:
        """Have every program that understands a message load a file; return a sentence. Raises ValueError where
        there is no hub, or nobody listens."""
        client = self.connect()
        parameters = {"url": path.as_uri(), "name": name, "table-id": path.stem}
        try:
            told = client.notify_all({"samp.mtype": message, "samp.params": parameters})
            names = [client.get_metadata(each).get("samp.name", each) for each in told]
        except _troubles() as error:
            raise ValueError(f"The SAMP hub did not take it: {sentence_of(error)}; try again.") from error
        if not names:
            what = "tables" if message == TABLE else "images"
            raise ValueError(f"A SAMP hub is running, but no program there takes {what}; open TOPCAT or DS9.")
        return f"The {name} was sent to {', '.join(names)}."

    def path(self, name: str) -> Path:
        """Return where a file to send is to be written; it stays until the window is closed, as others read it."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="deblend-samp-"))
            return self._folder / name

    # what comes in the client's thread -----------------------------------------------------------------------------

    def _on_call(
        self, key: str, sender: str, message_id: str, message: str, parameters: dict[str, Any], extra: Any
    ) -> None:
        sentence = self._take(message, parameters)
        reply: dict[str, Any] = {"samp.status": "samp.error" if sentence else "samp.ok", "samp.result": {}}
        if sentence:
            reply["samp.error"] = {"samp.errortxt": sentence}
        self._client.reply(message_id, reply)

    def _on_notification(self, key: str, sender: str, message: str, parameters: dict[str, Any], extra: Any) -> None:
        self._take(message, parameters)

    def _take(self, message: str, parameters: dict[str, Any]) -> str:
        """Fetch a table and have the window told of it; return a sentence where that failed."""
        bench = self._bench
        name = str(parameters.get("name") or "a table by SAMP")
        try:
            path = self._fetched(str(parameters.get("url", "")), RECEIVED[message])
        except (OSError, ValueError) as error:
            sentence = f"{name} could not be fetched: {sentence_of(error)}"
            bench.finder.mailbox.post(SAMP, (bench.document.observations, sentence))
            return sentence
        bench.finder.mailbox.post(SAMP_TABLE, (bench.document.observations, path, name))
        return ""

    def _fetched(self, url: str, ending: str) -> Path:
        if urlparse(url).scheme not in ("file", "http", "https"):
            raise ValueError(f"{url or 'no address'} is none of file, http and https.")
        handle, name = tempfile.mkstemp(suffix=ending, dir=self.path("table").parent)
        with urlopen(url, timeout=PATIENCE) as there, open(handle, "wb") as here:
            shutil.copyfileobj(there, here)
        return Path(name)

    def _leave(self) -> None:
        # it asks the hub, which may be slow to answer
        threading.Thread(target=self.disconnect, name="deblend samp", daemon=True).start()


# actions ---------------------------------------------------------------------------------------------------------


def send_catalog(bench: Workbench) -> None:
    """Measure the scene and send the catalog to programs that take tables."""

    def job_of(task: Task) -> Job:
        def job(machine: Machine) -> str:
            path = bench.samp.path("catalog.vot")
            said = catalog_job(path, task)(machine)
            return bench.samp.send(TABLE, path, "catalog of napari-deblend") if path.exists() else said

        return _in_words(job)

    bench.exporting.submit(job_of, "Measuring and sending…")


def send_image(bench: Workbench) -> None:
    """Send what is looked at, all bands of the observation in view, to programs that take images."""
    if bench.runner is None or bench.frame is None:
        raise ValueError("There is nothing to send yet; open FITS files first.")
    view, index = bench.layers.view, bench.layers.seen_by
    bench.exporting.submit(lambda _: _in_words(_image_job(bench, view, index)), "Sending…")


def toggle_samp(bench: Workbench) -> None:
    """Meet other programs at their hub, so that their tables come as sources; or leave."""
    observations = bench.document.observations

    def job() -> tuple[object, str]:
        if bench.samp.is_connected:
            bench.samp.disconnect()
            return observations, "Left the SAMP hub."
        bench.samp.connect()
        return observations, "Connected by SAMP: tables that other programs send become sources."

    bench.find(SAMP, job)


def receive_table(bench: Workbench, path: Path, name: str) -> None:
    """Add a source at every position of a table that came, where images are open."""
    if not bench.document.is_open:
        bench.tell(f"{name} came by SAMP, but no images are open to place sources on; open FITS files first.")
        return
    read_sources(bench, path, name)


def _image_job(bench: Workbench, view: View, index: int) -> Callable[[Machine], str]:
    def job(machine: Machine) -> str:
        observation = machine.observations[index]
        images = np.where(observation.weights > 0, observation.images, np.nan)
        if view is View.DATA:
            what, light = "data", images
        elif view is View.RESIDUAL:
            what, light = "residual", images - machine.shown.model(index)
        else:
            what, light = "model", machine.shown.model(index)
        path = bench.samp.path(f"{what}-{index}.fits")
        write_models(path, [observation], [light])
        return bench.samp.send(IMAGE, path, f"{what} of {observation.name}")

    return job


def _in_words(job: Job) -> Job:
    """Return the job with a sentence for what goes wrong, as it is said of files, but of sending."""
    careful = in_words(job)
    return lambda machine: careful(machine).replace("Nothing could be written", "Nothing could be sent", 1)
