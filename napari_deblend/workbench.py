"""Everything that belongs to one viewer: the document, its layers, the threads behind it.

Widgets and commands talk to the workbench; it never talks to them but through its signals. What the threads answer
comes in by `pulse` (when) and `answers` (what is done with it).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Image
from psygnal import Signal

from deblend import FitSettings, Observation, find_peaks, start_source
from deblend.detect import DEFAULT_METHOD, Method, Stack, stacks
from deblend.io import Interpretation, is_session
from deblend.observe.kernel_check import kernel_notes
from napari_deblend import garbage
from napari_deblend.activity import Activity
from napari_deblend.answers import Answers
from napari_deblend.candidates import Candidates
from napari_deblend.coloring import Coloring
from napari_deblend.comparing import Comparing
from napari_deblend.compat import main_window, unwrap
from napari_deblend.components import Cube
from napari_deblend.constraining import Constraining
from napari_deblend.curtain import Curtain
from napari_deblend.cutting import Cutting
from napari_deblend.document import Document
from napari_deblend.dragging import Dragging
from napari_deblend.exchanging import exchange_for_corrected, exchange_for_piece
from napari_deblend.exporting import Exporting
from napari_deblend.finder import Finder
from napari_deblend.gestures import Gestures
from napari_deblend.handles import Handles
from napari_deblend.history import History
from napari_deblend.hover import Hover
from napari_deblend.isolating import Isolating
from napari_deblend.jobs import KERNELS, LOADED, PEAKS, STACKED
from napari_deblend.keeper import Keeper
from napari_deblend.key_pointer import KeyPointer
from napari_deblend.known_stars import KnownStars
from napari_deblend.layers import ImageLayers
from napari_deblend.learner import Learner
from napari_deblend.leftovers import Leftovers
from napari_deblend.machine import Frame
from napari_deblend.markers import Markers
from napari_deblend.masking import Masking, without_hidden
from napari_deblend.noise import is_correlated, take_noise_for
from napari_deblend.offers import Offers
from napari_deblend.ownership import Ownership
from napari_deblend.painting import Painting
from napari_deblend.panel_markers import PanelMarkers
from napari_deblend.panels import Panels
from napari_deblend.parameters import Parameters
from napari_deblend.participation import Participation
from napari_deblend.paths import Paths
from napari_deblend.pulse import Pulse
from napari_deblend.readying import Readying
from napari_deblend.request import Request
from napari_deblend.rounds import Rounds
from napari_deblend.runner import Phase, Runner
from napari_deblend.samp import Samp
from napari_deblend.showing import Showing
from napari_deblend.source_look import SourceLooks
from napari_deblend.stretching import Stretching
from napari_deblend.sureness import Sureness
from napari_deblend.tour import Tour
from napari_deblend.views import METADATA_KEY, View
from napari_deblend.world import World


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
    kind_changed = Signal(str)
    """Sources that are added are of another kind now."""
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
        self.participation = Participation.ALL
        """Which sources a fit may change."""
        self.kind = "galaxy"
        """Kind of the next source that is added."""
        self.box_scale = 1.0
        self.threshold = 5.0
        """Of detection [sigma]."""
        self.method: Method = DEFAULT_METHOD
        """How sources are looked for."""
        self.runner: Runner | None = None
        self.finder = Finder()
        self._retired: list[Runner] = []
        self.stacks: tuple[Stack, ...] | None = None
        """All images together, from which a new source takes its size and profile; None until it is known."""
        self.layers = ImageLayers(self.viewer, self._render_all)
        self.stretching = Stretching(self)
        self.markers = Markers(self.viewer, self.document, self.tell)
        self.paths = Paths(self.viewer, self.document)
        self.known_stars = KnownStars(self.viewer, self.document)
        self.candidates = Candidates(self.viewer)
        self.settled.connect(self.candidates.tidy)
        self.detected_threshold: float | None = None
        self.detected_method: str | None = None
        self.curtain = Curtain(self.viewer, self.refreshed.emit)
        self.handles = Handles(self.viewer, self.document, lambda: self.constraining.part, self.tell)
        self.gestures = Gestures(
            self.viewer,
            self.document,
            self.markers,
            self.handles,
            self.add_at,
            self.layers.shows,
            self.tell,
            self.open_menu,
        )
        self.request: Request | None = None
        """What was asked for to open what is open; None where others have read it."""
        self._adopted: dict[int, Image] = {}
        self.cutting = Cutting(
            self.viewer, self.document, lambda: self.layers.world, self._read, self.cut_out, self.tell
        )
        self.document.observations_changed.connect(self._on_observations)
        self.layers.emptied.connect(self._on_emptied)
        self.answers, self.pulse = Answers(self), Pulse(self)
        self._showing = Showing(self)
        self.constraining = Constraining(self)
        self.constraining.changed.connect(self.handles.show_part)
        self.coloring, self.dragging = Coloring(self), Dragging(self)
        self.parameters = Parameters(self)
        self.masking, self.painting = Masking(self), Painting(self)
        self.panels, self.panel_markers = Panels(self), PanelMarkers(self)
        self.ownership, self.hover = Ownership(self), Hover(self)
        self.leftovers, self.source_looks = Leftovers(self), SourceLooks(self)
        self.isolating, self.samp = Isolating(self), Samp(self)
        self.rounds = Rounds(self)
        self.sureness = Sureness(self)
        self.learner = Learner(self)
        self.history, self.comparing, self.exporting = History(self), Comparing(self), Exporting(self)
        self._offers = Offers(self)
        self.activity = Activity(self)
        self.readying, self.key_pointer = Readying(self), KeyPointer(self)
        self.keeper = Keeper(self)
        self.tour = Tour(self)
        main_window(self.viewer).destroyed.connect(_closer(weakref.ref(self)))

    def close(self) -> None:
        """End the threads and let the window go; what is in the middle of a call is waited for."""
        if Workbench._open.pop(id(self.viewer), None) is None:
            return
        self.closed.emit()
        self.keeper.close()
        self.readying.close()
        self.key_pointer.end()
        self._retire()
        self.sureness.close()
        self.learner.close()
        self.cutting.request = None
        self.finder.close()
        self.cutting.reader.close()
        for runner in self._retired:
            runner.close(wait=True)
        shown = self.layers, self.markers, self.handles, self.paths, self.known_stars, self.candidates, self.curtain
        looks = self.panels, self.panel_markers, self.hover, self.leftovers, self.source_looks, self.comparing
        drawn = self.masking, self.painting, self.gestures, self.cutting
        for part in (*shown, *drawn, self._offers, *looks, self.tour):
            part.disconnect()
        garbage.spare_no_more(id(self))

    def tell(self, sentence: str) -> None:
        """Say a sentence where the person looks."""
        self.told.emit(sentence)

    def fail(self, job: str, sentence: str) -> None:
        """Say that a job of a thread has failed, and why."""
        self.failed.emit(job, sentence)
        self.tell(sentence)

    @property
    def phase(self) -> Phase:
        """What the machine's thread is doing."""
        return self.pulse.phase

    @property
    def frame(self) -> Frame | None:
        """What the machine has computed last, as it is on the screen."""
        return self.pulse.frame

    # opening -----------------------------------------------------------------------------------------------------

    def open(self, observations: Sequence[Observation], adopted: Mapping[int, Image] | None = None) -> None:
        """Work on other data; a run on the present ones ends, with its thread."""
        self.keeper.begin()
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
        self.gestures.place_next(None)
        self.candidates.clear()
        self.detected_threshold = self.detected_method = None
        self.markers.clear()
        self.layers.open(observations, world, adopted)
        self.markers.open(world)
        self.handles.open(world)
        self.paths.open(world)
        self.known_stars.open(world)
        self.masking.open()
        self.painting.open()
        self.stacks = None
        scene = self.document.scene
        self.find(STACKED, lambda: (observations, stacks(observations)))
        self.find(KERNELS, lambda: (observations, kernel_notes(observations, scene.grid, scene.model_psf_sigma)))
        self._start()
        self._showing.arrange_window()
        self.offered.emit()

    @property
    def is_noise_correlated(self) -> bool:
        """Whether the likelihood knows how the noise of neighbouring pixels goes together."""
        return is_correlated(self.document.observations)

    def take_noise_for(self, correlated: bool) -> None:
        """Have the correlation of the noise measured in blank sky, or take it for white again; the scene stays."""
        take_noise_for(self, correlated)

    def observe_as(self, observations: Sequence[Observation], label: str) -> None:
        """Go on with the same images seen otherwise, as with another PSF; a run on them ends, with its thread."""
        self.document.observe_as(observations, label)

    def open_menu(self, at_pointer: bool = True) -> None:
        """Open the menu of what is selected; raises ValueError where nothing is."""
        from napari_deblend.widgets.source_menu import show_source_menu

        show_source_menu(self, at_pointer)

    def resume(self) -> None:
        """Have all layers again, and the thread if it has ended; the document never went away."""
        if not self.document.is_open:
            raise ValueError("No images are open; open FITS files first.")
        self.layers.restore()
        self.markers.restore()
        self.known_stars.restore()
        self.handles.restore()
        if self.runner is None:
            self._start()

    @property
    def offers(self) -> list[Image]:
        """Image layers made by our reader that are not worked on."""
        return self._offers.images

    def adopt(self) -> None:
        """Work on the images that our reader has opened."""
        self._offers.adopt()

    def _start(self) -> None:
        scene, revision = self.document.scene, self.document.revision
        self.runner = Runner(self.document.observations, scene, revision, self.layers.mixes, self.pulse.bell.ring)
        self.runner.want(self.layers.wanted)
        self.pulse.begin()

    def _retire(self) -> None:
        """Have the thread end by itself; `close` waits for those that have not."""
        if self.runner is not None:
            self.runner.close(wait=False)
            self._retired.append(self.runner)
        self._retired = [runner for runner in self._retired if runner.is_alive]
        self.runner = None
        self.pulse.set_phase(Phase.CLOSED)

    def _on_emptied(self) -> None:
        self._retire()
        self.tell("All layers were deleted, so the computation was ended; “Show layers” brings everything back.")

    # sources, and jobs of theirs ----------------------------------------------------------------------------------

    def add_at(self, x: float, y: float) -> None:
        """Add a source at pixel (x, y) of the scene; of a residual that is looked at, what is left over there."""
        document = self.document
        if self.panels.pointed is View.RESIDUAL and self.frame is not None:
            self.leftovers.add_at(x, y)
            return
        observations, scene, seen = document.observations, document.scene, self.stacks
        document.add(start_source(observations, scene, x, y, self.kind, self.box_scale, seen, scene.sources))

    def preview_peaks(self, threshold: float) -> None:
        """Show where detection would find sources; the answer comes by and by."""
        self.threshold = threshold
        if self.document.is_open and not self.are_sources(threshold):
            observations = self.document.observations
            method, seen = self.method, without_hidden(observations, self.document.scene)
            self.find(PEAKS, lambda: (observations, find_peaks(seen, threshold, method), threshold))

    def are_sources(self, threshold: float) -> bool:
        """Tell whether what is found at a threshold is in the scene already, so that no ring need show it."""
        is_same = (threshold, self.method) == (self.detected_threshold, self.detected_method)
        return is_same and bool(self.document.scene.sources)

    def load(
        self, paths: Sequence[str], psf: Sequence[str] = (), weights: Sequence[str] = (), mask: Sequence[str] = ()
    ) -> None:
        """Read FITS files and work on them, or on a piece of them where they are large.

        The window stays awake meanwhile.
        """
        self._read(Request.of(paths, psf, weights, mask))

    def _read(self, request: Request) -> None:
        if len(request.paths) == 1 and is_session(Path(request.paths[0])):
            self.keeper.open(Path(request.paths[0]))
            return
        self.tell("Reading…")
        self.find(LOADED, lambda: (request, None if request.needs_cutout else request.read()))

    def choose_piece(self, request: Request, layer: Image | None = None) -> None:
        """Have a person choose a piece of a large file, on an overview that there may be already."""
        self.cutting.begin(request, layer)
        self.pulse.look_soon()

    def find(self, name: str, job: Callable[[], Any]) -> None:
        """Have a job done that needs no model."""
        self.finder.submit(name, job)
        self.pulse.look_soon()

    @property
    def is_reading(self) -> bool:
        """Whether files are being read, or were a moment ago."""
        return self.finder.is_busy or self.cutting.reader.is_busy

    def _render_all(self, observation: int, source_ids: Sequence[str]) -> Mapping[str, Cube]:
        """Return components, waiting for the thread: for whoever wants them all, as saving does."""
        if self.runner is None:
            raise ValueError("The components cannot be computed: the computation was ended; press “Show layers”.")
        return self.runner.components(observation, source_ids)


def _closer(bench: weakref.ref[Workbench]) -> Callable[..., None]:
    def close(*_: Any) -> None:
        workbench = bench()
        if workbench is not None:
            workbench.close()

    return close
