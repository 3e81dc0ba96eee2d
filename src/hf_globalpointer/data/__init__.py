"""Examples in characters, features in tokens, and the way between them."""

from .alignment import AlignmentReport, UnalignedEntity, encode_examples
from .collator import DataCollatorForGlobalPointer
from .example_dataset import ExampleDataset
from .readers import read_dataset, read_examples
from .report import DataReport
from .schema import DataError, Entity, Example
from .span_rules import SpanRules, find_span_rules
from .writers import write_examples


__all__ = [
    "AlignmentReport",
    "DataCollatorForGlobalPointer",
    "DataError",
    "DataReport",
    "Entity",
    "Example",
    "ExampleDataset",
    "SpanRules",
    "UnalignedEntity",
    "encode_examples",
    "find_span_rules",
    "read_dataset",
    "read_examples",
    "write_examples",
]
