"""Examples in characters, features in tokens, and the way between them."""

from .alignment import AlignmentReport, UnalignedEntity, encode_examples
from .collator import DataCollatorForGlobalPointer
from .readers import read_examples
from .schema import DataError, Entity, Example


__all__ = [
    "AlignmentReport",
    "DataCollatorForGlobalPointer",
    "DataError",
    "Entity",
    "Example",
    "UnalignedEntity",
    "encode_examples",
    "read_examples",
]
