"""Rows of the table of quality: ways to fit a scene, each from positions to fluxes and pictures."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from blends import Blend
from compare_scarlet2 import HERE, peer_python
from jaxtyping import Float
from scores import Result, judged

from deblend import (
    Constraint,
    ConstraintKind,
    FitSettings,
    FitState,
    Program,
    Scene,
    Source,
    begun_anew,
    compilations,
    fit,
    scene_from_positions,
    uneven,
)

Settings = Mapping[str, Any]
PEER_STEPS, PEER_SECONDS = 500, 90
"""Steps of scarlet2 in a scene, and CPU seconds after which it goes on to the next."""


@dataclass(frozen=True)
class Row:
    """How galaxies are described; stars are points."""

    kind: str = "galaxy"
    constraints: tuple[Constraint, ...] = ()
    """Added to those of the kind, or in their place."""
    only_these: bool = False
    measures_correlation: bool = False
    keeps_kinds: bool = True
    """Whether galaxies that turn out to be uneven stay what they are, instead of being fitted anew as learned ones."""


def _normalized(of: str) -> Row:
    return Row(constraints=(Constraint(ConstraintKind.NORMALIZATION, settings=(("of", of),)),))


HARDLY = 1e-3
"""Of its profile's brightness, what a correction may be where there is to be none; switched off it were free."""
_POSITIVE = Constraint(ConstraintKind.POSITIVITY)
_MONOTONIC = Constraint(ConstraintKind.MONOTONIC)
AS_FITTED = "default, uneven ones anew"
"""What `deblend fit` does by itself."""
ROWS: dict[str, Row] = {
    "default": Row(),
    AS_FITTED: Row(keeps_kinds=False),
    "default + monotonic": Row(constraints=(_MONOTONIC,)),
    "learned": Row("learned"),
    "vae": Row("vae"),
    "profile alone": Row(constraints=(Constraint(ConstraintKind.CORRECTION, HARDLY), _POSITIVE), only_these=True),
    "free-form, soft symmetry and monotonicity": Row("free-form"),
    "free-form, symmetric and monotonic": Row(
        "free-form", (_POSITIVE, Constraint(ConstraintKind.SYMMETRIC), _MONOTONIC), only_these=True
    ),
    "free-form, positive": Row("free-form", (_POSITIVE,), only_these=True),
    "default, normalized A": _normalized("spectrum"),
    "default, normalized S": _normalized("sum"),
    "default, normalized Smax": _normalized("peak"),
    "default, noise correlation measured": Row(measures_correlation=True),
}
PEER = "scarlet2"
FLOOR = "floor"
USUAL = (
    "default",
    AS_FITTED,
    "default + monotonic",
    "free-form, soft symmetry and monotonicity",
    "free-form, symmetric and monotonic",
    "free-form, positive",
    PEER,
    FLOOR,
)


class Found(NamedTuple):
    """What a row finds of a scene; the last arguments of `judged`."""

    flux: Float[np.ndarray, "source band"]
    pictures: Float[np.ndarray, "source y x"]
    """In i, as seen."""
    chi2: float
    iterations: int
    seconds: float | None
    outcome: str


def fitted(blend: Blend, row: Row, shifts: Float[np.ndarray, "source xy"], settings: Settings) -> Result:
    """Fit one scene; `shifts` are the errors of its positions (source, xy) [pix]."""
    return judged(blend, *found(blend, row, shifts, settings)[0])


def found(
    blend: Blend, row: Row, shifts: Float[np.ndarray, "source xy"], settings: Settings
) -> tuple[Found, FitState, Program]:
    """Return what a fit of one scene finds, where it ended and its program; arguments as of `fitted`."""
    observation = blend.observation
    if row.measures_correlation:
        observation = observation.with_measured_noise_correlation()
    given = blend.given
    x, y = (blend.x + shifts[:, 0])[given], (blend.y + shifts[:, 1])[given]
    kind = settings.get("kind", row.kind)
    scene = scene_from_positions([observation], x, y, kind=kind, box_scale=settings.get("box_scale", 1.0), solve=False)
    scene = scene.with_sources(
        described(source.retyped("point") if is_star else source, row, settings)
        for source, is_star in zip(scene.sources, blend.is_star[given], strict=True)
    )
    fields = {f.name for f in dataclasses.fields(FitSettings)}
    options = FitSettings(**{name: value for name, value in settings.items() if name in fields})
    before, started = compilations(), time.process_time()
    running = fit(unsolved(scene), [observation], options)
    best, iterations = running.run(), running.state.iteration
    if not row.keeps_kinds and (ids := uneven(best.scene, [observation])):
        running = fit(begun_anew(best.scene, ids, [observation]), [observation], options, running.program)
        best, iterations = running.run(), iterations + running.state.iteration
    seconds = time.process_time() - started if compilations() == before else None
    pictures = np.stack([best.component_plane(k, blend.band_i) for k in range(len(x))])
    fluxes, outcome = best.scene.fluxes, running.state.outcome.name
    return Found(fluxes, pictures, best.chi2, iterations, seconds, outcome), best, running.program


def described(source: Source, row: Row, settings: Settings) -> Source:
    """Return a source with the constraints of a row, and those that were set."""
    component = source.components[0]
    morphology = component.morphology
    if source.kind != "point":
        if row.only_these:
            morphology = replace(morphology, constraints=())
        for constraint in row.constraints:
            morphology = morphology.with_constraint(constraint)
    for name, kind in (("correction", ConstraintKind.CORRECTION), ("positivity", ConstraintKind.POSITIVITY)):
        if name in settings and morphology.constraint(kind) is not None:
            strength = float(settings[name])
            morphology = morphology.with_constraint(Constraint(kind, strength, strength > 0))
    scatter = settings.get("center_scatter", source.center_scatter)
    return replace(source, components=(replace(component, morphology=morphology),), center_scatter=scatter)


def unsolved(scene: Scene) -> Scene:
    """Return the scene with no flux known."""
    sources = []
    for source in scene.sources:
        component = source.components[0]
        spectrum = component.spectrum.at(np.full(len(scene.channels), np.nan))
        sources.append(replace(source, components=(replace(component, spectrum=spectrum),)))
    return scene.with_sources(sources)


def at_the_floor(blend: Blend) -> Result:
    """Return the true pictures with the fluxes that fit best."""
    model = np.einsum("kc,kcyx->cyx", blend.floor, blend.templates)
    chi2 = float(np.mean((blend.images - model) ** 2 / blend.variance))
    flux, pictures = blend.floor[blend.given], blend.truth[blend.given, blend.band_i]
    return judged(blend, flux, pictures, chi2, 0, None, "SOLVED")


def fitted_by_peer(
    blends: Sequence[Blend], shifts: Sequence[Float[np.ndarray, "source xy"]]
) -> tuple[list[Result | None], str]:
    """Return what scarlet2 finds in a process of its own, which reads and writes arrays, and what it says.

    None stands for a scene that it was too slow for.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (blend, shift) in enumerate(zip(blends, shifts, strict=True)):
            given = blend.given
            # in units of the noise of the first band, as its steps expect morphologies and spectra of order one
            np.savez(
                folder / f"scene_{number}.npz",
                images=blend.images.astype(np.float32),
                weights=(1.0 / blend.variance).astype(np.float32),
                psf=np.ascontiguousarray(blend.psf, np.float32),
                bands=np.array(list(blend.bands)),
                x=(blend.x + shift[:, 0])[given],
                y=(blend.y + shift[:, 1])[given],
            )
        command = [peer_python(), HERE / "run_scarlet2_set.py", folder, PEER_STEPS, PEER_SECONDS]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"run_scarlet2_set.py failed:\n{done.stderr[-3000:]}")
        results: list[Result | None] = []
        for number, blend in enumerate(blends):
            file = folder / f"found_{number}.npz"
            if not file.exists():
                results.append(None)
                continue
            with np.load(file) as found:
                pictures = found["pictures"][:, blend.band_i]
                record = json.loads(str(found["record"]))
                results.append(judged(blend, found["flux"], pictures, **record))
    return results, done.stdout
