"""The names of the package, for type checkers and for `lazy_loader`, which imports each when it is first used."""

from .alignment import (
    AlignmentReport as AlignmentReport,
    UnalignedEntity as UnalignedEntity,
    encode_examples as encode_examples,
)
from .collator import DataCollatorForGlobalPointer as DataCollatorForGlobalPointer
from .data_report import DataReport as DataReport
from .example_dataset import ExampleDataset as ExampleDataset
from .examples import DataError as DataError, Entity as Entity, Example as Example
from .formats.dataset import read_dataset as read_dataset
from .formats.reading import read_examples as read_examples
from .formats.writing import write_examples as write_examples
from .span_rules import SpanRules as SpanRules, find_span_rules as find_span_rules
