"""What a person calls the numbers of a program's parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from deblend.program import Program
from deblend.program.arrays import Parameters
from deblend.program.slots import Part
from deblend.render import KINDS


def number_names(
    program: Program, groups: Sequence[tuple[int, Int[np.ndarray, " slot"]]], parameters: Parameters
) -> list[str]:
    """Return the names of all numbers but pixels, in the order of `deblend.infer.chart.numbers_of`.

    `groups` tells, for each group of these parameters, its number in the program and the slots that its own first ones
    are there.
    """
    channels = [str(channel) for channel in program.scene.channels]
    result: list[str] = []
    for (number, slots), p in zip(groups, parameters.groups, strict=True):
        kind, members = KINDS[program.layout.groups[number].kind], program.members[number]
        called = [_called(members, slots, k) for k in range(len(p.theta))]
        shape = ["y", "x"]
        for name, size in kind.parameters:
            shape += [name] if size == 1 else [f"{name} {k}" for k in range(size)]
        result += [f"{name} of {source}" for source in called for name in shape]
        result += [f"flux in {channel} of {source}" for source in called for channel in channels]
        aspects = "offset in y", "offset in x", "color gradient"
        result += [f"{a} in {channel} of {source}" for source in called for channel in channels for a in aspects]
    if parameters.calibration is not None:
        result += [f"calibration {k} of {channel}" for channel in channels for k in range(10)]
    if parameters.stars is not None:
        stars, passbands = parameters.stars.shape
        result += [f"flux {band} of star {star}" for star in range(stars) for band in range(passbands)]
    if parameters.full_scene is not None:
        for what, part in zip(("spectrum", "light"), parameters.full_scene, strict=True):
            result += [f"{what} {k} of the light everywhere" for k in range(part.size)]
    return result


def _called(members: Sequence[Part], slots: np.ndarray, position: int) -> str:
    if position >= len(slots) or slots[position] >= len(members):
        return "nothing"
    source, index = members[int(slots[position])]
    of = f" (component {index + 1})" if len(source.components) > 1 else ""
    return f"source {source.name or source.id}{of}"
