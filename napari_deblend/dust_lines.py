"""The numbers of a layer of dust as lines that a person can read and change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend import Channel, Source
from deblend.scene.dust import POWER_LAW
from napari_deblend.parameter_lines import LABELS, Group, Line, Place, dust_of, shape_lines


def dust_groups(source: Source, channels: Sequence[Channel], sky: Float[np.ndarray, "2 2"] | None) -> tuple[Group, ...]:
    """Return the numbers of the dust of a source: how deep, how large, and how it goes with wavelength; none where
    there is no dust. `sky` is that of `groups_of`."""
    if source.dust is None:
        return ()
    dust = source.dust
    part = len(source.components)
    total = Place(lambda s: dust_of(s).total, lambda s, p: s.dimmed(replace(dust_of(s), total=p)))
    deep = "Mean optical depth τ within the ellipse that holds half of the dust"
    depths = np.atleast_1d(dust.depths)
    names = [f"τ in {channel.name}" for channel in channels] if dust.extinction.is_free else ["τ in V"]
    lines = [
        Line(f"dust.depth.{k}", name, float(depth), "", deep, total, changed=partial(_deep, k), part=part)
        for k, (name, depth) in enumerate(zip(names, depths, strict=True))
    ]
    shape, _ = shape_lines(source.parts[part], part, sky)
    for line in shape:
        label = "half-depth radius" if line.label == LABELS["half_light_radius"] else line.label
        lines.append(replace(line, key=f"dust.{line.key.partition('.')[2]}", label=label, link_name=""))
    law = dust.extinction
    lines.append(Line("dust.law", "law", np.nan, "", "How it goes with wavelength", text=law.law, part=part))
    used = {"total_to_selective": law.law in ("G23", "F99", "CCM89"), "slope": law.law == POWER_LAW}
    for name, label in (("total_to_selective", "R_V"), ("slope", "slope"), ("redshift", "redshift")):
        if used.get(name, not law.is_free):
            lines.append(
                Line(f"dust.{name}", label, getattr(law, name), changed=partial(_extinguished, name), part=part)
            )
    return (Group("Dust", tuple(lines)),)


def _deep(index: int, source: Source, depth: float) -> Source:
    if not depth >= 0:
        raise ValueError(f"An optical depth is not negative, got {depth:g}.")
    dust = dust_of(source)
    depths = np.array(np.atleast_1d(dust.depths))
    depths[index] = depth
    return source.dimmed(dust.with_depths(depths.reshape(np.shape(dust.total.value))))


def _extinguished(name: str, source: Source, number: float) -> Source:
    dust = dust_of(source)
    changed: dict[str, Any] = {name: number}
    return source.dimmed(replace(dust, extinction=replace(dust.extinction, **changed)))
