"""The form in which texts and their entities travel through the package."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class DataError(ValueError):
    """Data that cannot be used as it is; the message says which, where, and what to do."""


@dataclass(frozen=True, order=True, slots=True)
class Entity:
    """A typed span of a text: characters `start` to `end`, end exclusive."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Example:
    """A text and the set of its entities, which may be nested or overlap; one given twice counts once.

    Args:
        text (`str`): The text.
        entities (`tuple[Entity, ...]`, *optional*): Its entities, in any order.
        id (`str` or `int`, *optional*): A name for the example.
        source (`str`, *optional*): Where it was read, "file:line", for messages.
        extra (`Mapping[str, Any]`, *optional*): The fields of its record but `text` and `entities`, in their order, so
            with `id`; of JSON Lines and tables only. They make no difference to whether two examples are equal.

    Raises:
        DataError: If the text is no string, or an entity is no `Entity` of integers and a string, is empty or reaches
            outside the text.
    """

    text: str
    entities: tuple[Entity, ...] = ()
    id: str | int | None = None
    source: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise DataError(f"text must be a string, got {self.text!r:.60}.")
        object.__setattr__(self, "entities", tuple(self.entities))
        for index, entity in enumerate(self.entities):
            if not isinstance(entity, Entity):
                raise DataError(f"entities[{index}] must be an `Entity`, got {entity!r}.")
            if not (isinstance(entity.start, int) and isinstance(entity.end, int) and isinstance(entity.label, str)):
                raise DataError(f"entities[{index}] must have integers as start and end and a label, got {entity!r}.")
            if not 0 <= entity.start < entity.end <= len(self.text):
                raise DataError(
                    f"entities[{index}] ({entity.label!r}) has start {entity.start} and end {entity.end}; they must "
                    f"satisfy 0 <= start < end <= {len(self.text)}, the length of the text in characters."
                )

    @property
    def name(self) -> str:
        """What messages call this example: where it was read, or its id, or how it begins."""
        return self.source or (repr(self.text[:40]) if self.id is None else str(self.id))


def check_labels(examples: Iterable[Example], labels: Iterable[str], owner: str) -> None:
    """Check that the labels of all entities are known.

    Args:
        examples (`Iterable[Example]`): The examples.
        labels (`Iterable[str]`): The known labels.
        owner (`str`): Whose labels these are, for the message, such as `"the model's labels"`.

    Raises:
        DataError: At the first entity with another label.
    """
    known = set(labels)
    for example in examples:
        for entity in example.entities:
            if entity.label not in known:
                raise DataError(
                    f"{example.name}: label {entity.label!r} is none of {owner} ({', '.join(sorted(known))}); "
                    "correct it, or train with examples of it."
                )
