"""What the weights of other implementations of Efficient GlobalPointer mean."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """What the two matrices of an Efficient GlobalPointer mean in another implementation.

    Args:
        name (`str`): What it is called on the command line.
        used_by (`str`): The implementations that have it.
        query_and_key (`str`):
            Where the query is among the outputs of the first matrix, and so among the inputs of the second:
            `"alternating"`, the even ones, with the key at the odd ones; or `"halves"`, the first d, then the key.
        end_first (`bool`): Whether, of the two outputs of the second matrix for a type, the end is the first.
        halved (`bool`): Whether start and end are halved before they are added to the product.
        span_representation (`str`, *optional*, defaults to `"query_key"`):
            What the second matrix is applied to: `"query_key"` before rotation (eq. 7), or `"hidden"` states (eq. 6).
    """

    name: str
    used_by: str
    query_and_key: Literal["alternating", "halves"]
    end_first: bool
    halved: bool
    span_representation: Literal["query_key", "hidden"] = "query_key"


# bert4keras and its followers add the even outputs along the axis of the last tokens: these are the ends.
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("bert4keras", "bert4keras, JunnYu, powerycy", "alternating", end_first=True, halved=True),
        Layout("xhw205", "xhw205", "alternating", end_first=True, halved=True, span_representation="hidden"),
        Layout("bert4torch", "bert4torch since 0.2.4", "halves", end_first=False, halved=True),
        # https://github.com/Tongjilibo/bert4torch/issues/55 of October 2022 made it halve.
        Layout("bert4torch-unhalved", "bert4torch up to 0.2.3", "halves", end_first=False, halved=False),
    )
}
KNOWN_LAYOUTS = "; ".join(f"{layout.name} ({layout.used_by})" for layout in LAYOUTS.values())
