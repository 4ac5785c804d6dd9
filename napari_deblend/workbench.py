"""Everything that belongs to one viewer: the document, its layers, the thread behind it, the timer between them.

The timer pulls the newest frame when the window has time for it; after a frame that cost much it waits longer, so
that a slow screen never falls behind and never freezes. Widgets and commands talk to the workbench; it never talks
to them but through its signals.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import FitSettings, Observation, Scene, Source, find_peaks, start_source
from deblend.detect import Stack, stacks
from deblend.io import Interpretation
from deblend.observe import with_measured_noise, with_white_noise
from deblend.observe.kernel_check import kernel_notes
from napari_deblend.activity import Activity
from napari_deblend.candidates import Candidates
from napari_deblend.compat import main_window, unwrap
from napari_deblend.components import Cube
from napari_deblend.curtain import Curtain
from napari_deblend.cutting import Cutting
from napari_deblend.document import Change, Document
from napari_deblend.exchanging import as_remembered, exchange_for_corrected, exchange_for_piece
from napari_deblend.finder import Finder
from napari_deblend.gestures import Gestures
from napari_deblend.layers import ImageLayers
from napari_deblend.machine import Frame, Machine, Picture, PictureKind
from napari_deblend.markers import Markers
from napari_deblend.request import Request
from napari_deblend.runner import ERROR, FRAME, Phase, Runner
from napari_deblend.views import METADATA_KEY
from napari_deblend.world import World

STREAM_INTERVAL = 0.16
"""Least time between two pictures of a running fit [s]: six a second."""
EDIT_INTERVAL = 0.008
"""How often the mailbox is looked into while an answer to an edit is awaited [s]."""
IDLE_INTERVAL = 0.03
LISTS_DELAY = 0.08
"""How long after a picture of a running fit its numbers are written into table and plot [s]: drawn in one go, the
window would be away for twice as long."""
WINDOW_SHARE = 0.3
"""Fraction of the window's time that pictures may take."""
UNSEEN = 0.03
"""Markers of a running fit are not moved for less than this [pix]: it costs milliseconds and is not seen."""
SETTLE_TIME = 400
"""How long nothing must change before the slow things are done: thumbnails, signal-to-noise [ms]."""
LOADED, STACKED, PEAKS, DETECTED, MISSED, NOISE = "loaded", "stacked", "peaks", "detected", "missed", "noise"
STARS, KERNELS = "stars", "kernels"
"""Names of jobs whose results the workbench takes itself."""
MACHINE = "machine"
"""Name under which all failures of the machine's thread are announced."""


class Workbench:
    """The work in one viewer; get it with `Workbench.of`."""

    framed = Signal(Frame)
    """A frame is on the screen; while a fit runs, its numbers follow a moment later."""
    refreshed = Signal()
    """What is shown may be another: an edit with its answer, or without one where that takes long. Redrawing lists
    with the picture and not before it costs the window one drawing and not two."""
    phase_changed = Signal(Phase)
    told = Signal(str)
    """A sentence for the person in front of the window."""
    settled = Signal()
    """Nothing has changed for a moment."""
    failed = Signal(str, str)
    """Something failed in a thread: the name of the job, and a sentence."""
    result = Signal(str, object)
    """A job was done: its name and what it gave."""
    offered = Signal()
    """Images that could be worked on were opened or closed."""
    closed = Signal()

    _open: dict[int, Workbench] = {}  # noqa: RUF012  # by viewer; emptied as the windows close

    @classmethod
    def of(cls, viewer: Any) -> Workbench:
        """Return the workbench of a viewer; the first call makes it."""
        viewer = unwrap(viewer)
        bench = cls._open.get(id(viewer))
        if bench is None:
            bench = cls._open[id(viewer)] = cls(viewer)
        return bench

    def __init__(self, viewer: Any) -> None:
        self.viewer = unwrap(viewer)
        self.document = Document()
        self.settings = FitSettings()
        self.kind = "galaxy"
        """Kind of the next source that is added."""
        self.box_scale = 1.0
        self.threshold = 5.0
        """Of detection [sigma]."""
        self.phase = Phase.CLOSED
        self.frame: Frame | None = None
        self.runner: Runner | None = None
        self.finder = Finder()
        self._retired: list[Runner] = []
        self._stacks: tuple[Stack, ...] | None = None
        """All images together, from which a new source takes its size and profile; None until it is known."""
        self._shown_revision = 0
        self._last_frame_time = 0.0
        self.layers = ImageLayers(self.viewer, self._render_all)
        self.markers = Markers(self.viewer, self.document, self.tell)
        self.candidates = Candidates(self.viewer)
        self.detected_threshold: float | None = None
        self.curtain = Curtain(self.viewer, self.refreshed.emit)
        self.gestures = Gestures(self.viewer, self.document, self.markers, self.add_at, self.tell)
        self.request: Request | None = None
        """What was asked for to open what is open; None where others have read it."""
        self._adopted: dict[int, Image] = {}
        self.cutting = Cutting(
            self.viewer, self.document, lambda: self.layers.world, self._read, self.cut_out, self.tell
        )
        self.document.observations_changed.connect(self._on_observations)
        self.document.scene_changed.connect(self._on_scene)
        self.document.selection_changed.connect(self._on_selection)
        self.layers.wanted_changed.connect(self._on_wanted)
        self.layers.view_changed.connect(self._on_view)
        self.layers.component_chosen.connect(self._on_component)
        self.layers.emptied.connect(self._on_emptied)
        self.viewer.layers.events.inserted.connect(self._on_inserted)
        self.viewer.layers.events.removed.connect(self._on_inserted)
        self.activity = Activity(self)
        window = main_window(self.viewer)
        self._timer = QTimer(window)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer)
        self._lists_timer = QTimer(window)
        self._lists_timer.setSingleShot(True)
        self._lists_timer.timeout.connect(self._refresh_lists)
        self._settle_timer = QTimer(window)
        self._settle_timer.setSingleShot(True)
        self._settle_timer.timeout.connect(self._on_settled)
        self._adopt_timer = QTimer(window)
        self._adopt_timer.setSingleShot(True)
        self._adopt_timer.timeout.connect(self._adopt_offered)
        window.destroyed.connect(_closer(weakref.ref(self)))
        self._adopt_timer.start(0)

    def close(self) -> None:
        """End the threads and let the window go; what is in the middle of a call is waited for."""
        if Workbench._open.pop(id(self.viewer), None) is None:
            return
        self.closed.emit()
        self._retire()
        self.cutting.request = None
        self.finder.close()
        self.cutting.reader.close()
        for runner in self._retired:
            runner.close(wait=True)
        for part in (self.layers, self.markers, self.candidates, self.gestures, self.curtain, self.cutting):
            part.disconnect()
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_inserted)

    def tell(self, sentence: str) -> None:
        """Say a sentence where the person looks."""
        self.told.emit(sentence)

    # opening -----------------------------------------------------------------------------------------------------

    def open(self, observations: Sequence[Observation], adopted: Mapping[int, Image] | None = None) -> None:
        """Work on other data; a run on the present ones ends, with its thread."""
        self.request = None
        self._adopted = dict(adopted or {})
        self.document.open(observations)

    def cut_out(self, said: str) -> None:
        """Go on with a piece of what is open; raises ValueError with a sentence where `said` is none."""
        self.tell(exchange_for_piece(self.document, said))

    def correct(self, index: int, wanted: Interpretation) -> None:
        """Understand one observation otherwise; what makes no sense is said, and nothing changes."""
        try:
            self.tell(exchange_for_corrected(self.document, index, wanted))
        except ValueError as error:
            self.tell(str(error))

    def _on_observations(self) -> None:
        """Make everything anew for other observations; a run on the present ones ends, with its thread."""
        self._retire()
        adopted, self._adopted = self._adopted, {}
        observations = self.document.observations
        center = next((layer.metadata[METADATA_KEY]["world_center"] for layer in adopted.values()), self.cutting.center)
        world = World.of(observations, center)
        self.candidates.clear()
        self.detected_threshold = None
        self.markers.clear()
        self.layers.open(observations, world, adopted)
        self.markers.open(world)
        self._stacks = None
        self._look_at_observations()
        self._start()
        self._arrange_window()
        self.offered.emit()

    @property
    def is_noise_correlated(self) -> bool:
        """Whether the likelihood knows how the noise of neighbouring pixels goes together."""
        return any(o.noise_correlation is not None for o in self.document.observations)

    def take_noise_for(self, correlated: bool) -> None:
        """Have the correlation of the noise measured in blank sky, or take it for white again; the scene stays."""
        opened = self.document.observations
        if correlated:
            self.tell("Measuring the noise of blank sky…")
            self.find(NOISE, lambda: (opened, with_measured_noise(opened)))
        elif self.is_noise_correlated:
            self._take_noise(with_white_noise(opened))

    def _take_noise(self, observations: Sequence[Observation]) -> None:
        kind = "correlated" if any(o.noise_correlation is not None for o in observations) else "white"
        self.observe_as(observations, f"Take noise for {kind}")

    def observe_as(self, observations: Sequence[Observation], label: str) -> None:
        """Go on with the same images seen otherwise, as with another PSF; a run on them ends, with its thread."""
        self.document.observe_as(observations, label)

    def _look_at_observations(self) -> None:
        """Have the images stacked, and what is to be said of their PSFs found out."""
        seen, scene = self.document.observations, self.document.scene
        self.find(STACKED, lambda: (seen, stacks(seen)))
        self.find(KERNELS, lambda: (seen, kernel_notes(seen, scene.grid, scene.model_psf_sigma)))

    def resume(self) -> None:
        """Have all layers again, and the thread if it has ended; the document never went away."""
        if not self.document.is_open:
            raise ValueError("No images are open; open FITS files first.")
        self.layers.restore()
        self.markers.restore()
        if self.runner is None:
            self._start()

    @property
    def offers(self) -> list[Image]:
        """Image layers made by our reader that are not worked on."""
        mine = {id(layer) for layer in self.layers}
        return [
            layer
            for layer in self.viewer.layers
            if METADATA_KEY in layer.metadata
            and layer.metadata[METADATA_KEY].get("observation")
            and id(layer) not in mine
            and layer.metadata[METADATA_KEY].get("offered")
        ]

    def adopt(self) -> None:
        """Work on the images that our reader has opened."""
        offers = self.offers
        observations = [layer.metadata[METADATA_KEY]["observation"] for layer in offers]
        if observations:
            self.open(observations, dict(enumerate(offers)))

    def _on_inserted(self, event: Any = None) -> None:
        self._adopt_timer.start(0)

    def _adopt_offered(self) -> None:
        is_untouched = not self.document.is_open or (
            not self.document.scene.sources and self.document.undo_label is None
        )
        if self.offers and is_untouched:
            self.adopt()
        for layer in list(self.viewer.layers):
            request = layer.metadata.get(METADATA_KEY, {}).get("request")
            if request is not None and layer is not self.cutting.picture and request is not self.cutting.request:
                self.choose_piece(request, layer)
        self.offered.emit()

    def _start(self) -> None:
        self.frame = None
        self._shown_revision = 0
        self.runner = Runner(self.document.observations, self.document.scene, self.document.revision, self.layers.mixes)
        self.runner.want(self.layers.wanted)
        self._timer.start(0)

    def _retire(self) -> None:
        """Have the thread end by itself; `close` waits for those that have not."""
        if self.runner is not None:
            self.runner.close(wait=False)
            self._retired.append(self.runner)
        self._retired = [runner for runner in self._retired if runner.is_alive]
        self.runner = None
        self._set_phase(Phase.CLOSED)

    def _arrange_window(self) -> None:
        viewer, world = self.viewer, self.layers.world
        viewer.scene.camera.orientation2d = world.orientation
        viewer.canvas.overlays.scale_bar.visible = True
        caption = viewer.canvas.overlays.text
        caption.position, caption.font_size, caption.visible = "top_left", 12, True
        viewer.fit_to_view()
        if self.markers.layer is not None:
            viewer.layers.selection.active = self.markers.layer

    def _on_emptied(self) -> None:
        self._retire()
        self.tell("All layers were deleted, so the computation was ended; “Show layers” brings everything back.")

    # the document changes ----------------------------------------------------------------------------------------

    def _on_scene(self, change: Change) -> None:
        is_edit = change in (Change.EDIT, Change.LIVE) and self.runner is not None
        if is_edit and self.runner is not None:
            self.runner.edit(self.document.revision, self.document.scene)
            self.curtain.down()
            self._look_soon()
        elif change is not Change.ANSWER:
            self.refreshed.emit()
        self.layers.set_sources([source.id for source in self.document.scene.sources])
        self.markers.show(0.0 if self.phase is not Phase.RUNNING or is_edit else UNSEEN)
        self._settle_timer.start(SETTLE_TIME)

    def _on_selection(self) -> None:
        self.markers.show_selection()
        if self.document.selection and self.layers.shows_components:
            self.layers.show_component(self.document.selection[-1])

    def _on_wanted(self) -> None:
        if self.runner is not None:
            self.runner.want(self.layers.wanted)
            self._look_soon()

    def _on_view(self) -> None:
        if not self.cutting.is_of_file:
            self.viewer.canvas.overlays.text.text = self.layers.caption

    def _on_component(self, source_id: str) -> None:
        if not self.document.selection or self.document.selection[-1] != source_id:
            self.document.select([source_id])

    def add_at(self, x: float, y: float) -> None:
        """Add a source at pixel (x, y) of the scene."""
        document = self.document
        source = start_source(document.observations, document.scene, x, y, self.kind, self.box_scale, seen=self._stacks)
        document.add(source)

    def preview_peaks(self, threshold: float) -> None:
        """Show where detection would find sources; the answer comes by and by."""
        self.threshold = threshold
        if self.document.is_open and not self._are_sources(threshold):
            observations = self.document.observations
            self.find(PEAKS, lambda: (observations, find_peaks(observations, threshold), threshold))

    def _are_sources(self, threshold: float) -> bool:
        """Tell whether what is found at a threshold is in the scene already, so that no ring need show it."""
        return threshold == self.detected_threshold and bool(self.document.scene.sources)

    def load(
        self, paths: Sequence[str], psf: Sequence[str] = (), weights: Sequence[str] = (), mask: Sequence[str] = ()
    ) -> None:
        """Read FITS files and work on them, or on a piece of them where they are large.

        The window stays awake meanwhile.
        """
        self._read(Request.of(paths, psf, weights, mask))

    def _read(self, request: Request) -> None:
        self.tell("Reading…")
        self.find(LOADED, lambda: (request, None if request.needs_cutout else request.read()))

    def choose_piece(self, request: Request, layer: Image | None = None) -> None:
        """Have a person choose a piece of a large file, on an overview that there may be already."""
        self.cutting.begin(request, layer)
        self._look_soon()

    def find(self, name: str, job: Callable[[], Any]) -> None:
        """Have a job done that needs no model."""
        self.finder.submit(name, job)
        self._look_soon()

    # news of the threads -----------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        begin = time.perf_counter()
        self._take_findings()
        runner = self.runner
        if runner is not None:
            self._set_phase(runner.phase)
            is_streaming = runner.phase is Phase.RUNNING and self._shown_revision == self.document.revision
            if not is_streaming or begin - self._last_frame_time >= STREAM_INTERVAL:
                self._take_news(runner)
        if runner is not None or self.is_reading:
            is_awaited = self._shown_revision != self.document.revision or self.finder.is_busy
            pause = EDIT_INTERVAL if is_awaited else IDLE_INTERVAL
            cost = time.perf_counter() - begin
            self._timer.start(round(1000 * max(pause, cost / WINDOW_SHARE - cost)))

    @property
    def is_reading(self) -> bool:
        """Whether files are being read, or were a moment ago."""
        return self.finder.is_busy or self.cutting.reader.is_busy

    def _take_findings(self) -> None:
        for name, finding in self.finder.mailbox.take().items():
            if name == ERROR:
                self.failed.emit(*finding)
                self.tell(finding[1])
            elif name == LOADED:
                self._take_loaded(*finding)
            elif name == NOISE and finding[0] is self.document.observations:
                self._take_noise(finding[1])
            elif name == STACKED and finding[0] is self.document.observations:
                self._stacks = finding[1]
            elif name == PEAKS and finding[0] is self.document.observations:
                if not self._are_sources(finding[2]):
                    self.candidates.show(finding[1], self.document.observations[0], self.layers.world)
                self.result.emit(PEAKS, finding[1])
            elif name in (STARS, KERNELS) and finding[0] is self.document.observations:
                self.result.emit(name, finding[1:])

        if self.cutting.reader.is_busy or self.cutting.overview is None:
            sentence = self.cutting.take()
            if sentence is not None:
                self.failed.emit(LOADED, sentence)
                self.tell(sentence)

    def _take_loaded(self, request: Request, observations: tuple[Observation, ...] | None) -> None:
        if observations is None:
            self.choose_piece(request)
            return
        self.open([as_remembered(observation) for observation in observations])
        self.request = request
        if request.cutout is not None:
            height, width = observations[0].shape
            self.tell(f"Opened a piece of {width} × {height} px; “Overview” shows the whole again.")

    def _take_news(self, runner: Runner) -> None:
        news = runner.mailbox.take()
        if FRAME in news:
            self._last_frame_time = time.perf_counter()
            self._show(news.pop(FRAME))
        if ERROR in news:
            sentence = news.pop(ERROR)
            self.failed.emit(MACHINE, sentence)
            self.tell(sentence)
        for name, outcome in news.items():
            if name == DETECTED:
                self._replace_sources(*outcome)
            if name == MISSED:
                self._add_missed(*outcome)
            self.result.emit(name, outcome)

    def _replace_sources(self, observations: tuple[Observation, ...], scene: Scene) -> None:
        if observations is not self.document.observations:
            return
        self.candidates.clear()
        if not scene.sources:
            self.tell(f"No source is {self.threshold:.3g} sigma above the noise; lower the threshold.")
            return
        scene = scene.with_calibrations(self.document.scene.calibrations)
        self.document.replace_scene(scene, f"Detect {len(scene)} sources")
        self.tell(f"{len(scene)} sources detected.")

    def _add_missed(self, observations: tuple[Observation, ...], sources: tuple[Source, ...]) -> None:
        if observations is not self.document.observations:
            return
        self.document.add(*(source.renamed("") for source in sources))
        count = (
            "No source stands" if not sources else "1 source stood" if len(sources) == 1 else f"{len(sources)} stood"
        )
        self.tell(f"{count} out of the residual.")

    def _show(self, frame: Frame) -> None:
        was_running = self.frame is not None and not self.frame.sentence
        is_streaming = self.phase is Phase.RUNNING and self._shown_revision == frame.revision and not frame.sentence
        self.frame = frame
        self._shown_revision = frame.revision
        self.document.accept(frame.scene, frame.revision)
        self.layers.show(frame)
        if is_streaming:
            self._lists_timer.start(round(1000 * LISTS_DELAY))
        else:
            self._refresh_lists()
        if frame.sentence and was_running:
            self.tell(frame.sentence)
        self.curtain.up()
        self._settle_timer.start(SETTLE_TIME)

    def _refresh_lists(self) -> None:
        self._lists_timer.stop()
        if self.frame is not None:
            self.framed.emit(self.frame)
            self.refreshed.emit()

    def _look_soon(self) -> None:
        """Look into the mailbox soon; asked for again and again, as by a drag, it is not put off."""
        soon = round(1000 * EDIT_INTERVAL)
        if not self._timer.isActive() or self._timer.remainingTime() > soon:
            self._timer.start(soon)

    def _set_phase(self, phase: Phase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self.phase_changed.emit(phase)

    def _on_settled(self) -> None:
        if self.phase is Phase.RUNNING:
            self._settle_timer.start(SETTLE_TIME)
            return
        self.markers.show()
        self.layers.renew_components()
        self.layers.refresh_thumbnails()
        self.settled.emit()

    def _render_all(self, observation: int, source_ids: Sequence[str]) -> Mapping[str, Cube]:
        """Return components, waiting for the thread: for whoever wants them all, as saving does."""
        if self.runner is None:
            raise ValueError("The components cannot be computed: the computation was ended; press “Show layers”.")
        cubes: dict[str, Cube] = {}
        done = threading.Event()

        def job(machine: Machine) -> None:
            try:
                wanted = frozenset(Picture(PictureKind.COMPONENT, observation, i) for i in source_ids)
                cubes.update({p.source_id: cube for p, cube in machine.frame(wanted).pictures.items()})
            finally:
                done.set()

        self.runner.submit("components", job)
        done.wait(timeout=60)
        return cubes


def _closer(bench: weakref.ref[Workbench]) -> Callable[..., None]:
    def close(*_: Any) -> None:
        workbench = bench()
        if workbench is not None:
            workbench.close()

    return close
