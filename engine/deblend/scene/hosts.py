"""Sources that belong to others, as a supernova to its galaxy: they go where their hosts go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from deblend.scene.source import Source


def guests_of(sources: Sequence[Source], hosts: Collection[str]) -> tuple[str, ...]:
    """Return the ids of all that belongs to some sources, directly or through what belongs to them."""
    found: dict[str, None] = {}
    known = set(hosts)
    while new := [s.id for s in sources if s.host in known and s.id not in known]:
        found.update(dict.fromkeys(new))
        known.update(new)
    return tuple(found)


def with_guests(sources: Sequence[Source], places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return places (x, y) by source [pix], with those of all that belongs to what is placed and has no place of its
    own, and may move: as far off its nearest such host as it is."""
    result = dict(places)
    by_id = {source.id: source for source in sources}
    for guest in sources:
        host = by_id.get(guest.host or "")
        while host is not None and host.id not in places:
            host = by_id.get(host.host or "")
        if host is not None and guest.id not in places and not guest.is_locked:
            x, y = places[host.id]
            result[guest.id] = (guest.x + (x - host.x), guest.y + (y - host.y))
    return result


def without_hosts(sources: Sequence[Source], gone: Collection[str]) -> tuple[Source, ...]:
    """Return sources of which those that belonged to what is gone belong to nothing."""
    return tuple(replace(s, host=None) if s.host in gone else s for s in sources)


def hosted(sources: Sequence[Source], guest: Source, host_id: str | None) -> Source:
    """Return a source that belongs to another one, or to none; raises ValueError where it would belong to itself."""
    if host_id is not None and (host_id == guest.id or host_id in guests_of(sources, [guest.id])):
        raise ValueError(f"Source {guest.name or guest.id} cannot belong to itself, or to what belongs to it.")
    return replace(guest, host=host_id)
