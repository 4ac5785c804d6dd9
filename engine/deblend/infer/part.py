"""Fits of a part of a scene: all other sources stay as they are, to the last digit, and as free as they are.

A source that takes no part is fixed while the fit runs. That is data to the compiled program, so nothing compiles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from deblend.scene import Scene, Source, Status


def holding(scene: Scene, taking_part: Collection[str]) -> Scene:
    """Return the scene with all sources fixed but those of these ids, those without fluxes yet, and locked ones."""
    wanted = set(scene.together([i for i in taking_part if any(s.id == i for s in scene.sources)]))

    def is_left(source: Source) -> bool:
        return source.id in wanted or source.is_locked or not _is_solved(source)

    return scene.with_sources(s if is_left(s) else s.with_status(Status.FIXED) for s in scene.sources)


def set_free(scene: Scene, given: Scene, taking_part: Collection[str]) -> Scene:
    """Return a fitted scene that was held so, with the sources that took no part as they were given."""
    held = {
        source.id
        for source, same in zip(given.sources, holding(given, taking_part).sources, strict=True)
        if source is not same
    }
    before = {source.id: source for source in given.sources}
    return scene.with_sources(before[s.id] if s.id in held and s.id in before else s for s in scene.sources)


def neighbours(scene: Scene, source_ids: Iterable[str]) -> tuple[str, ...]:
    """Return these sources and all whose center lies in the box of one of them, or in whose box one of them lies."""
    chosen = [scene[i] for i in source_ids]

    def is_near(source: Source) -> bool:
        return any(
            max(abs(source.x - one.x), abs(source.y - one.y)) <= max(source.radius, one.radius) for one in chosen
        )

    return tuple(source.id for source in scene.sources if is_near(source))


def _is_solved(source: Source) -> bool:
    return all(component.is_solved for component in source.components)
