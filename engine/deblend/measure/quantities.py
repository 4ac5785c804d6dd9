"""Sizes, centroids, signal to noise and blendedness of the sources of a program's scene."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from deblend.infer.solvers import compiled_linearized
from deblend.measure.shapes import centroid, half_light_radius, on_one_box
from deblend.program import Program
from deblend.program.columns import Column
from deblend.program.noise import weighted_column
from deblend.program.origins import box_origin


def shapes_of(program: Program) -> Float[np.ndarray, "source 3"]:
    """Return centroid x, y and half-light radius of every source [pix]."""
    result = np.full((len(program.scene), 3), np.nan)
    if not len(program.scene):
        return result
    step = compiled_linearized(program.layout, program.data, program.parameters)
    parts: dict[int, list[np.ndarray]] = {}
    for members, rows, line in zip(program.members, program.rows, step.lines, strict=True):
        pictures = np.asarray(line.picture)
        for slot, ((source, index), row) in enumerate(zip(members, rows, strict=True)):
            share = source.components[index].spectrum.value.sum() if len(source.components) > 1 else 1.0
            parts.setdefault(row, []).append(share * pictures[slot])
    for row, pictures_of_source in parts.items():
        source, picture = program.scene.sources[row], on_one_box(pictures_of_source)
        y0, x0 = box_origin(source, program.scene.grid.shape)
        dx, dy = centroid(picture)
        size = half_light_radius(picture, (source.x - x0, source.y - y0), program.scene.model_psf_sigma)
        result[row] = (x0 + dx, y0 + dy, size)
    return result


def significance_of(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Return the signal to noise and the blendedness of every source, over all bands."""
    n = len(program.scene)
    own, shared, information = np.zeros(n), np.zeros(n), np.zeros(n)
    columns = program.pictures_of(program.scene)
    for index, observation in enumerate(program.observations):
        model = program.model(index) - program.background(index) - program.full_scene_light(index)
        for row in range(n):
            column: Column = columns[row][index]
            rows, across = column.window
            weighted = observation.weights[:, rows, across] * column.patch
            own[row] += np.sum(weighted * column.patch)
            shared[row] += np.sum(weighted * model[:, rows, across])
            held = weighted_column(column, observation.weights, observation.whitening)
            information[row] += np.sum(held.cut(rows, across) * column.patch)
    with np.errstate(invalid="ignore", divide="ignore"):
        blendedness = np.where(shared > 0, 1.0 - own / shared, 0.0)
    return np.sqrt(information), np.clip(blendedness, 0.0, 1.0)
