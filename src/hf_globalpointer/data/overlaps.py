"""Which entities of a text overlap, and how."""

from collections.abc import Iterable
from typing import NamedTuple

from .examples import Entity


class Overlaps(NamedTuple):
    """The entities of a text that overlap others; one may be in several of these sets.

    Args:
        nested (`set[Entity]`): Those that lie inside another one or around one; also those with the span of another.
        crossing (`set[Entity]`): Those that overlap one though neither lies inside the other.
        same_span (`set[Entity]`): Those with the span of another.
    """

    nested: set[Entity]
    crossing: set[Entity]
    same_span: set[Entity]


def find_overlaps(entities: Iterable[Entity]) -> Overlaps:
    """Look through the distinct entities of a text."""
    found = Overlaps(set(), set(), set())
    reaching: list[Entity] = []
    for entity in sorted(set(entities)):
        reaching = [other for other in reaching if other.end > entity.start]
        for other in reaching:
            if (other.start, other.end) == (entity.start, entity.end):
                found.same_span.update((other, entity))
            is_nested = other.end >= entity.end or other.start == entity.start
            (found.nested if is_nested else found.crossing).update((other, entity))
        reaching.append(entity)
    return found
