"""The names of the package, for type checkers and for `lazy_loader`, which imports each when it is first used."""

from .alignment import (
    AlignmentReport as AlignmentReport,
    UnalignedEntity as UnalignedEntity,
    encode_examples as encode_examples,
)
from .collator import DataCollatorForGlobalPointer as DataCollatorForGlobalPointer
from .example_dataset import ExampleDataset as ExampleDataset
from .readers import read_examples as read_examples
from .readers.dataset import read_dataset as read_dataset
from .report import DataReport as DataReport
from .schema import DataError as DataError, Entity as Entity, Example as Example
from .span_rules import SpanRules as SpanRules, find_span_rules as find_span_rules
from .writers import write_examples as write_examples
