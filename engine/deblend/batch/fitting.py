"""From a task to its result: start, fit and measure one blend."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from jaxtyping import Float

from deblend.batch.blends import room_in
from deblend.batch.errors import full_errors, held_errors
from deblend.batch.task import Frame, Result, Task
from deblend.detect import Search, start_sources
from deblend.infer import Fit, FitState, StopRule
from deblend.infer.boxes import radii_of
from deblend.io import Session
from deblend.measure.flags import flags_of
from deblend.measure.motion import on_image, on_sky, spread
from deblend.measure.quantities import shapes_of, significance_of
from deblend.measure.regularized import biases_of, widened
from deblend.measure.sharing import share
from deblend.observe import Observation
from deblend.program import Program, compilations
from deblend.program.columns import summed
from deblend.program.layout import GroupLayout, bucket
from deblend.scene import Point, Scene, Source

SECOND = "second_"
"""How names of sources begin that were found in what a first fit had left over."""
MENDED = "As a person has left it in the window."
UNSEEN = "no pixel of the blend counts: all are masked or undefined"


def fit_blends(tasks: Sequence[Task], frame: Frame) -> list[Result]:
    """Return what comes of each task; one that fails says why, and the others go on."""
    return [fit_blend(task, frame) for task in tasks]


def fit_blend(task: Task, frame: Frame) -> Result:
    """Return what comes of a task; where that fails, the reason."""
    started = time.thread_time()
    empty = Result(
        task.number, task.tile, (task.box.x[0], task.box.y[0]), task.box.shape[0], task.sources[: task.n_owned]
    )
    try:
        result = _fitted(task, frame, empty)
    except Exception as error:  # whatever is wrong with one blend is no reason to lose the others
        reason = " ".join(str(error).split()) or type(error).__name__
        result = replace(
            empty, failure=reason if isinstance(error, ValueError) else f"{type(error).__name__}: {reason}"
        )
    spent = time.thread_time() - started
    return replace(result, seconds=spent, compilations=compilations(), memory=most_memory())


def fitted_scene(task: Task, frame: Frame) -> Scene:
    """Return the fitted scene of a task; raises ValueError where it cannot be fitted."""
    if task.failure or not any(o.weights.any() for o in task.observations):
        raise ValueError(task.failure or UNSEEN)
    return _fit(task, frame)[1].best.scene


def scene_of(task: Task, frame: Frame) -> Scene:
    """Return the scene that a task starts from, on the pixels of its box."""
    first = task.observations[0]
    grid = first.grid.refined(frame.oversampling)
    scene = Scene(grid, frame.channels, model_psf_sigma=frame.model_psf_sigma)
    scale, off = frame.oversampling, 0.5 * (frame.oversampling - 1)
    x, y = (place * scale + off for place in (task.x, task.y))
    sources = start_sources(task.observations, scene, x, y, frame.kind)
    named = [replace(source, name=str(row)) for source, row in zip(sources, task.sources, strict=True)]
    return scene.add(*with_room(named, task.snr, layouts_of(task, frame)))


def layouts_of(task: Task, frame: Frame) -> tuple[GroupLayout, ...]:
    """Return the groups that every blend in a box like that of a task has room for."""
    return room_in(task.box.shape[0], frame.kind, frame.oversampling)


def with_room(
    sources: Sequence[Source],
    snr: Float[np.ndarray, " source"],
    layouts: Sequence[GroupLayout],
    present: Sequence[Source] = (),
) -> list[Source]:
    """Return sources in boxes that groups have room for beside those that are present, the brightest first: others
    would compile anew. Those that there is no room for are left out."""
    left = {layout.side: layout.capacity for layout in layouts}
    for source in present:
        left[_side(source, left)] -= 1
    result: dict[int, Source] = {}
    for k in np.argsort(-snr, kind="stable").tolist():
        source = sources[k]
        wanted = _side(source, left)
        open_ = [side for side, count in left.items() if count > 0]
        if not open_:
            break
        fitting = [side for side in open_ if side <= wanted]
        side = max(fitting) if fitting else min(open_)
        left[side] -= 1
        is_point = isinstance(source.components[0].morphology, Point)
        radius = source.radius if is_point else int(np.clip(source.radius, *radii_of(side)))
        result[k] = source if radius == source.radius else _resized(source, radius)
    return [result[k] for k in sorted(result)]


def _side(source: Source, left: Mapping[int, int]) -> int:
    """Return the side of the group that a source is in by its box."""
    if isinstance(source.components[0].morphology, Point):
        return min(left)
    return bucket(source.radius, least=min(left))


def _fitted(task: Task, frame: Frame, empty: Result) -> Result:
    if task.failure:
        raise ValueError(task.failure)
    if not any(o.weights.any() for o in task.observations):
        raise ValueError(UNSEEN)
    program, fit = _fit(task, frame)
    best, outcome = fit.best, fit.state.outcome
    program.take(best.scene)
    chi2 = _chi2(task.observations, best)
    if not np.isfinite(chi2) or not np.all(np.isfinite(best.scene.fluxes)):
        raise ValueError(f"the fit met an undefined value: {outcome.value}")
    columns = measured(task, program, outcome.is_success, frame)
    n_known = len(task.sources)
    guests = {"source": np.array(task.sources[task.n_owned :], int), "flux": columns["flux"][task.n_owned : n_known]}
    second = [k for k in range(n_known, len(best.scene)) if _is_mine(task, best.scene.sources[k], best.scene)]
    kept = [*range(task.n_owned), *second]
    return replace(
        empty,
        second=tuple(_number(best.scene.sources[k]) for k in second),
        outcome=outcome.value,
        chi2=chi2,
        iterations=fit.state.iteration,
        columns={name: values[kept] for name, values in columns.items()},
        guests=guests,
        model=_light(program, kept),
    )


def result_of(task: Task, session: Session, frame: Frame) -> Result:
    """Return what a person has made of a task: sources whose names are rows of the plan are those, others are new."""
    observations, scene = session.observations, session.scene
    solve = not scene.is_solved
    program = Program(observations, scene, solve=solve, room=layouts_of(task, frame), reach=frame.reach)
    columns = measured(replace(task, observations=observations), program, True, frame)
    rows = {source.name: k for k, source in enumerate(scene.sources)}
    own = {row: rows[str(row)] for row in task.sources[: task.n_owned] if str(row) in rows}
    second = {_number(scene.sources[k]): k for name, k in rows.items() if name.startswith(SECOND)}
    second = {number: k for number, k in second.items() if _is_mine(task, scene.sources[k], scene)}
    known = {*map(str, task.sources)}
    new = [k for name, k in rows.items() if name not in known and not name.startswith(SECOND)]
    kept = [*own.values(), *second.values(), *new]
    total = sum(o.chi2(program.model(k)) for k, o in enumerate(observations))
    return Result(
        task.number,
        task.tile,
        (task.box.x[0], task.box.y[0]),
        task.box.shape[0],
        tuple(own),
        second=tuple(second),
        added=len(new),
        is_mended=True,
        outcome=MENDED,
        chi2=total / max(sum(o.n_unmasked for o in observations), 1),
        columns={name: values[kept] for name, values in columns.items()},
        model=_light(program, kept) if kept else None,
    )


def _fit(task: Task, frame: Frame) -> tuple[Program, Fit]:
    """Return the fit of a task, done, and its program."""
    observations = tuple(_with_all_bands(o) for o in task.observations)
    scene = scene_of(replace(task, observations=observations), frame)
    layouts = layouts_of(task, frame)
    program = Program(observations, scene, solve=False, room=layouts, reach=frame.reach)
    # all blends share what is compiled for their box
    settings = replace(frame.settings, compile_larger=False)
    if not frame.passes:
        fit = Fit(scene, observations, settings, program)
        fit.run()
        return program, fit
    # as `deblend fit` does it: what plain profiles cannot follow stands out, and all are freed at the end
    n_named = count()

    def with_names_and_room(scene: Scene, new: Sequence[Source]) -> Sequence[Source]:
        named = [replace(source, name=f"{SECOND}{next(n_named)}") for source in new]
        return with_room(named, -np.arange(len(named), dtype=float), layouts, scene.sources)

    search = Search(scene, frame.passes, kind=frame.kind, prepare=with_names_and_room)
    fit = Fit(search.start, observations, replace(settings, stop=StopRule.ROUGH), program)
    best = fit.run()
    while (more := search.after(best.scene, observations, _models(best, observations), best.sources())) is not None:
        fit.edit(more)
        best = fit.run()
    fit.settings = settings
    fit.edit(search.freed(best.scene))
    best = fit.run()
    if faded := search.faded(best.scene, observations, best.sources()):
        fit.edit(best.scene.remove(*faded))
        fit.run()
    return program, fit


def _models(state: FitState, observations: Sequence[Observation]) -> list[Float[np.ndarray, "band y x"]]:
    return [state.model(k) for k in range(len(observations))]


def _number(second: Source) -> int:
    """Return which of those that were found in what a fit left over a source is."""
    return int(second.name.removeprefix(SECOND))


def _is_mine(task: Task, source: Source, scene: Scene) -> bool:
    """Tell whether a source that was found in what a fit left over is the blend's own, and not one of its guests'."""
    if task.mine is None:
        return True
    y, x = (float(place) for place in scene.grid.affine_to(task.observations[0].grid)(source.y, source.x))
    height, width = task.mine.shape
    return bool(task.mine[int(np.clip(round(y), 0, height - 1)), int(np.clip(round(x), 0, width - 1))])


def measured(task: Task, program: Program, converged: bool, frame: Frame) -> dict[str, np.ndarray]:
    """Return the columns of the catalog, a row per source of a task; names and units are those of `deblend.measure`.

    Errors of fluxes are those of the joint problem of all fluxes of the blend, with shapes and places held or, where
    that is asked for, marginalised over; both have what the belief about shapes biases fluxes by (see
    `deblend.measure.regularized`). Fluxes of bands that see nothing of the blend are NaN.
    """
    scene, first = program.scene, task.observations[0]
    seen = [band.any() for o in task.observations for band in o.weights]
    to_image = scene.grid.affine_to(first.grid)
    shapes = shapes_of(program)
    x0, y0 = task.box.x[0], task.box.y[0]
    y, x = to_image(np.array([s.y for s in scene.sources]), np.array([s.x for s in scene.sources]))
    centroid_y, centroid_x = to_image(shapes[:, 1], shapes[:, 0])
    columns = {"x": x + x0, "y": y + y0, "centroid_x": centroid_x + x0, "centroid_y": centroid_y + y0}
    if first.wcs is not None:
        columns["ra"], columns["dec"] = first.wcs.pixel_to_sky(x, y)
    significance, blendedness = significance_of(program)
    columns |= {"half_light_radius": shapes[:, 2] * to_image.scale, "snr": significance, "blendedness": blendedness}
    columns["box_radius"] = np.array([s.radius for s in scene.sources]) * to_image.scale
    columns |= {f"flag_{name}": is_set for name, is_set in flags_of(program, converged).items()}
    columns["flux"] = np.where(seen, scene.fluxes, np.nan)
    if frame.with_errors:
        errors = full_errors(program) if frame.with_shapes else held_errors(program)
        widths = widened(errors.fluxes, scene.fluxes, biases_of(scene, blendedness))
        columns["flux_err"] = np.where(seen, widths, np.nan)
        if errors.centers is not None:
            columns["x_err"], columns["y_err"] = spread(on_image(errors.centers, to_image)).T
            if scene.grid.wcs is not None:
                columns["ra_err"], columns["dec_err"] = spread(on_sky(errors.centers, scene.grid.wcs)).T
    if frame.passes:
        columns["flag_second"] = np.array([s.name.startswith(SECOND) for s in scene.sources], bool)
    if frame.with_shares:
        columns["flux_shared"] = share(scene, program.observations, program).fluxes
    return columns


def most_memory() -> float:
    """Return the most that this process has held so far [MB]."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3


def _resized(source: Source, radius: int) -> Source:
    component = source.components[0]
    component = replace(component, morphology=component.morphology.resized(radius), radius=radius)
    return replace(source, components=(component,))


def _with_all_bands(observation: Observation) -> Observation:
    """Return an observation of which each band has a pixel that counts: one in the corner of a band that sees nothing.

    Programs have as many channels as the field; a single pixel far from all sources tells next to nothing of them.
    """
    unseen = ~observation.weights.any(axis=(1, 2))
    if not unseen.any():
        return observation
    weights = observation.weights.copy()
    weights[unseen, 0, 0] = 1.0
    return replace(observation, weights=weights)


def _chi2(observations: Sequence[Observation], state: FitState) -> float:
    """Return chi² per pixel that counts."""
    total = sum(o.chi2(state.model(k)) for k, o in enumerate(observations))
    return total / max(sum(o.n_unmasked for o in observations), 1)


def _light(program: Program, rows: Iterable[int]) -> Float[np.ndarray, "channel y x"]:
    """Return the light of some of the sources of a program [nJy/pix], float32."""
    seen = [program.sources()[k] for k in rows]
    cubes = []
    for index, observation in enumerate(program.observations):
        cubes.append(summed([columns[index] for columns in seen]).on(observation.images.shape))
    result: Float[np.ndarray, "channel y x"] = np.concatenate(cubes).astype(np.float32)
    return result
