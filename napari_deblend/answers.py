"""What the window does with the answers of its jobs: files that were read, peaks, sources that were found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deblend import Observation, Scene, Source
from napari_deblend.exchanging import as_remembered
from napari_deblend.jobs import (
    CLASSIFIED,
    COMPARED,
    DETECTED,
    DRAGGED,
    DRAGGED_LIGHTS,
    GLIMPSED,
    KERNELS,
    KNOWN_STARS,
    LEFT_OVER,
    LIGHTS,
    LOADED,
    LOADED_SOURCES,
    MISSED,
    MOVING,
    NOISE,
    PEAKS,
    ROUND,
    SAMP,
    SAMP_TABLE,
    STACKED,
    STARS,
    STRETCHED,
)
from napari_deblend.known_stars import take_stars
from napari_deblend.loading import take_sources
from napari_deblend.moving import add_moving
from napari_deblend.noise import take_noise
from napari_deblend.request import Request
from napari_deblend.rounds import take_classes
from napari_deblend.runner import ERROR
from napari_deblend.samp import receive_table

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


class Answers:
    """Takes the answers of both threads of one workbench; those to what is open no longer are dropped."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def take_findings(self) -> None:
        """Take what the thread that needs no model has found."""
        bench = self._bench
        for name, finding in bench.finder.mailbox.take().items():
            if name == ERROR:
                bench.fail(*finding)
            elif name == LOADED:
                self._take_loaded(*finding)
            elif finding[0] is bench.document.observations:
                self._take_finding(name, finding[1:])
        if bench.cutting.reader.is_busy or bench.cutting.overview is None:
            sentence = bench.cutting.take()
            if sentence is not None:
                bench.fail(LOADED, sentence)

    def _take_finding(self, name: str, found: tuple[Any, ...]) -> None:
        bench = self._bench
        if name == NOISE:
            take_noise(bench, found[0])
        elif name == STACKED:
            bench.stacks = found[0]
        elif name == LEFT_OVER:
            bench.leftovers.take(found[0])
        elif name == STRETCHED:
            bench.layers.recolor(found[0])
        elif name == KNOWN_STARS:
            take_stars(bench, *found)
        elif name == LOADED_SOURCES:
            take_sources(bench, *found)
        elif name == SAMP:
            bench.tell(found[0])
        elif name == SAMP_TABLE:
            receive_table(bench, *found)
        elif name == LIGHTS:
            bench.constraining.take_pictures(*found)
        elif name == DRAGGED_LIGHTS:
            bench.dragging.take_pictures(*found)
        elif name == PEAKS:
            peaks, threshold = found
            if not bench.are_sources(threshold):
                bench.candidates.show(peaks, bench.document.observations[0].grid, bench.layers.world)
            bench.result.emit(PEAKS, peaks)
        elif name in (STARS, KERNELS):
            bench.result.emit(name, found)

    def take(self, name: str, outcome: Any) -> None:
        """Take the result of a job of the machine."""
        if name == DETECTED:
            self._replace_sources(*outcome)
        elif name == MISSED:
            self._add_missed(*outcome)
        elif name == ROUND:
            self._bench.rounds.take_round(*outcome)
        elif name == CLASSIFIED:
            take_classes(self._bench, *outcome)
        elif name == GLIMPSED:
            self._bench.constraining.take_glimpse(*outcome)
        elif name == DRAGGED:
            self._bench.dragging.take_glimpses(*outcome)
        elif name == COMPARED:
            self._bench.comparing.take(*outcome)
        elif name == MOVING:
            add_moving(self._bench, *outcome)
        self._bench.result.emit(name, outcome)

    def _take_loaded(self, request: Request, observations: tuple[Observation, ...] | None) -> None:
        bench = self._bench
        if observations is None:
            bench.choose_piece(request)
            return
        bench.open([as_remembered(observation) for observation in observations])
        bench.request = request
        if request.cutout is not None:
            height, width = observations[0].shape
            bench.tell(f"Opened a piece of {width} × {height} px; “Overview” shows the whole again.")
            return
        doubts = sum(len(observation.notes) for observation in bench.document.observations)
        said = "" if not doubts else " What was assumed is listed under Observations."
        bench.tell(f"Opened {' and '.join(o.name for o in observations)}; rings show what Detect would find.{said}")

    def _replace_sources(self, observations: tuple[Observation, ...], scene: Scene) -> None:
        bench = self._bench
        if observations is not bench.document.observations:
            return
        bench.candidates.hide()
        if not scene.sources:
            bench.tell(f"No source is {bench.threshold:.3g} sigma above the noise; lower the threshold.")
            return
        scene = scene.with_calibrations(bench.document.scene.calibrations).with_stars(bench.document.scene.stars)
        scene = replace(scene, masks=bench.document.scene.masks)
        bench.document.replace_scene(scene, f"Detect {len(scene)} sources")
        bench.tell(f"{len(scene)} sources detected.")

    def _add_missed(self, observations: tuple[Observation, ...], sources: tuple[Source, ...]) -> None:
        bench = self._bench
        if observations is not bench.document.observations:
            return
        bench.document.add(*(source.renamed("") for source in sources))
        count = (
            "No source stands" if not sources else "1 source stood" if len(sources) == 1 else f"{len(sources)} stood"
        )
        bench.tell(f"{count} out of the residual.")
