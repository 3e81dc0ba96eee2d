from typing import Any

import pytest

from hf_globalpointer.data import DataError, Entity, Example


@pytest.mark.parametrize(
    ("text", "entity", "message"),
    [
        (None, None, "text must be a string, got None."),
        (b"ab", None, "text must be a string, got b'ab'."),
        ("ab", Entity("0", 1, "x"), "entities[0] must have integers as start and end and a label, got Entity("),  # type: ignore[arg-type]
        ("ab", Entity(0, 1.0, "x"), "entities[0] must have integers as start and end"),  # type: ignore[arg-type]
        ("ab", Entity(0, 1, 7), "entities[0] must have integers as start and end and a label"),  # type: ignore[arg-type]
    ],
)
def test_examples_are_of_the_right_types(text: Any, entity: Entity | None, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Example(text, (entity,) if entity else ())
    assert str(caught.value).startswith(message)
