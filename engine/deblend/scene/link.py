"""Links: a parameter of several components that is one number, as an ellipticity that bulge and disk share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deblend.scene.parameter import Parameter
from deblend.scene.source import Source

Member = tuple[str, int]
"""The id of a source, and which of its components."""


@dataclass(frozen=True)
class Link:
    """A parameter of morphologies that has one value in several components."""

    parameter: str
    """Its name, as in `Morphology.parameters`."""
    members: tuple[Member, ...]


def linked_parameter(sources: Sequence[Source], link: Link, member: Member) -> Parameter:
    """Return the parameter of one member; raises ValueError with a sentence where it has none that can be linked."""
    source = next((s for s in sources if s.id == member[0]), None)
    if source is None:
        raise ValueError(f"There is no source with id {member[0]!r} to link.")
    called = source.name or source.id
    if not 0 <= member[1] < len(source.components):
        raise ValueError(f"Source {called} has {len(source.components)} components; there is no component {member[1]}.")
    morphology = source.components[member[1]].morphology
    parameter = morphology.parameters.get(link.parameter)
    if parameter is None:
        known = ", ".join(morphology.parameters) or "none"
        raise ValueError(
            f"The {morphology.label} of source {called} has no parameter {link.parameter!r}; it has {known}."
        )
    if parameter.value.ndim > 1:
        raise ValueError(f"{link.parameter} of source {called} is a picture; only numbers can be linked.")
    return parameter


def surviving(links: Sequence[Link], sources: Sequence[Source]) -> tuple[Link, ...]:
    """Return what is left of links where sources are gone, or have become something else."""

    def is_there(link: Link, member: Member) -> bool:
        source = next((s for s in sources if s.id == member[0]), None)
        return (
            source is not None
            and member[1] < len(source.components)
            and link.parameter in source.components[member[1]].morphology.parameters
        )

    left = (replace(link, members=tuple(m for m in link.members if is_there(link, m))) for link in links)
    return tuple(link for link in left if len(link.members) > 1)


def with_linked(sources: Sequence[Source], link: Link, parameter: Parameter) -> tuple[Source, ...]:
    """Return sources with the value, the bounds and the status of a link's parameter; raises ValueError where a member
    has none of that shape."""
    changed = {source.id: source for source in sources}
    for member in link.members:
        own = linked_parameter(sources, link, member)
        if own.value.shape != parameter.value.shape:
            raise ValueError(
                f"{link.parameter} of source {changed[member[0]].name or member[0]} has {own.value.size} numbers, and "
                f"of what it is to be linked with {parameter.value.size}."
            )
        source, index = changed[member[0]], member[1]
        component = source.components[index]
        morphology = component.morphology.with_parameters(**{link.parameter: parameter})
        components = list(source.components)
        components[index] = replace(component, morphology=morphology)
        changed[source.id] = replace(source, components=tuple(components))
    return tuple(changed[source.id] for source in sources)


def kept(links: Sequence[Link], before: Sequence[Source], after: Sequence[Source]) -> tuple[Source, ...]:
    """Return sources after an edit, with what is linked to something that was changed changed alike."""
    result = tuple(after)
    for link in links:
        for member in link.members:
            new = linked_parameter(result, link, member)
            if not new.is_like(linked_parameter(before, link, member)):
                result = with_linked(result, link, new)
                break
    return result
