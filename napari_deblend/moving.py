"""Something that moves: a person clicks where it is at one epoch, and its line through all of them is looked for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from deblend import Observation, Scene, Source, moving_sources
from deblend.detect import FoundVelocity, find_velocity, taken_for_still
from deblend.infer.errors import draw
from deblend.measure import motion_lines, motion_table
from deblend.scene.track import epochs_of
from napari_deblend.jobs import MOTIONS, MOVING
from napari_deblend.machine import Machine

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

Found = tuple[tuple[Observation, ...], tuple[Source, ...], FoundVelocity, tuple[Source, ...]]


class _AskedForElseError(Exception):
    """A person wants something of the thread that is at work on errors."""


def toggle_placing(bench: Workbench) -> None:
    """Have the next click on the image say where something that moves is, or no longer; raises ValueError where the
    images cannot tell that anything moves."""
    if bench.gestures.is_placing:
        bench.gestures.place_next(None)
        bench.tell("No moving source was placed.")
        return
    epochs_of(bench.document.scene.channels)
    if bench.layers.channel is None:
        # of all epochs at once a click could not tell which it means
        bench.layers.look_at(color=False)
    channel, seen = bench.layers.channel, bench.document.observations[bench.layers.seen_by]
    others = "the slider below the image takes" if len(seen.channels) > 1 else "Shift-T takes"
    bench.gestures.place_next(lambda x, y: _look_where_it_goes(bench, x, y))
    bench.tell(f"Click on what moves, where it is at {channel}; {others} other epochs.")


def _look_where_it_goes(bench: Workbench, x: float, y: float) -> None:
    """Have the line found of what is at a pixel of the scene at the epoch in view; it is added by and by."""
    channel = bench.layers.channel
    if channel is None or channel.time is None:
        raise ValueError("All epochs are in view at once; look at one of them (H), and place it there.")
    if bench.runner is None:
        raise ValueError("The computation was ended; press “Show layers” first.")
    time, name = channel.time, _free_name(bench.document.scene)

    def job(machine: Machine) -> Found:
        observations, scene = machine.observations, machine.scene
        models = [machine.shown.model(k) for k in range(len(observations))]
        found = find_velocity(observations, scene, models, x, y, time)
        sources = moving_sources(scene.channels, x, y, found.velocity, time=time)
        named = tuple(s.renamed(f"{name} #{k}") for k, s in enumerate(sources, 1))
        return observations, named, found, taken_for_still(observations, scene, sources) if found.stands_out else ()

    bench.tell("Looking where it goes…")
    bench.runner.submit(MOVING, job)


def add_moving(bench: Workbench, observations: tuple[Observation, ...], *answer: Any) -> None:
    """Add what was found to the scene, as one step."""
    sources, found, ghosts = answer
    if observations is not bench.document.observations:
        return
    there = {source.id for source in bench.document.scene.sources}
    instead_of = [ghost.id for ghost in ghosts if ghost.id in there]
    bench.document.add(*sources, label="Add a moving source", instead_of=instead_of)
    if found.stands_out:
        gone = f" It takes the place of {len(instead_of)} that were only it." if instead_of else ""
        bench.tell(
            f"It stands out along its path by {found.signal_to_noise:.0f} sigma.{gone} The fit finds its motion."
        )
    else:
        bench.tell("Where it goes does not stand out; go to another epoch and drag its marker to where it is then.")


def _free_name(scene: Scene) -> str:
    """Return a short name that is free: its epochs are numbered after it, on the image and in the table."""
    taken = {source.name.split()[0] for source in scene.sources if source.name.strip()}
    return next(name for number in itertools.count(1) if (name := f"m{number}") not in taken)


def have_motions_measured(bench: Workbench) -> None:
    """Have the errors of all motions found while nobody asks for anything else; the answer is a result `MOTIONS`."""
    runner, revision = bench.runner, bench.document.revision
    if runner is None:
        return

    def stop_where_asked(done: int, of: int) -> None:
        if runner.is_asked:
            raise _AskedForElseError

    def job(machine: Machine) -> tuple[int, list[str]]:
        try:
            centers = draw(machine.program, progress=stop_where_asked).centers
        except _AskedForElseError:
            return revision, []
        scene, first = machine.program.scene, machine.observations[0].grid
        table = motion_table(scene, scene.grid.affine_to(first), centers)
        return revision, [] if table is None else motion_lines(table)

    runner.submit(MOTIONS, job)
