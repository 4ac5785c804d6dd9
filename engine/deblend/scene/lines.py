"""Moving sources whose epochs are placed by hand: all of them stay on one line in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from deblend.scene.source import Source
from deblend.scene.track import Track, fitted_motion


def of_one_track(sources: Sequence[Source], source_ids: Collection[str]) -> tuple[str, ...]:
    """Return these ids, with those of all other epochs of what moves among them, in the order of the sources."""
    tracks = {s.track.id for s in sources if s.track is not None and s.id in source_ids}
    return tuple(s.id for s in sources if s.id in source_ids or (s.track is not None and s.track.id in tracks))


def on_their_lines(sources: Sequence[Source], placed: Collection[str]) -> tuple[Source, ...]:
    """Return sources of which some were placed by hand, with the other epochs of those that move where they are then.

    The line goes through what was placed now and the epoch furthest in time of those that were placed before, or of
    all. Where all epochs of one were placed, it has been moved as a whole.
    """
    result = {source.id: source for source in sources}
    epochs: dict[str, list[tuple[Track, Source]]] = {}
    for source in sources:
        if source.track is not None:
            epochs.setdefault(source.track.id, []).append((source.track, source))
    for members in epochs.values():
        now = [(track, s) for track, s in members if s.id in placed]
        others = [(track, s) for track, s in members if s.id not in placed]
        if not now or not others:
            continue
        middle = sum(track.time for track, _ in now) / len(now)
        before = [pair for pair in others if pair[0].is_placed] or others
        pivot = max(before, key=lambda pair: abs(pair[0].time - middle))
        held = [*now, pivot]
        motion = fitted_motion([track.time for track, _ in held], [(s.x, s.y) for _, s in held])
        for track, source in members:
            place = motion.at(track.time)
            result[source.id] = replace(
                source,
                center=source.center.at(place),
                anchor=place,
                track=replace(track, is_placed=track.is_placed or source.id in placed),
            )
    return tuple(result[source.id] for source in sources)
