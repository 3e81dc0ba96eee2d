import random
from importlib.resources import files

from hf_globalpointer.data import AlignmentReport, Entity, Example, read_examples
from hf_globalpointer.reports.split_statistics import SplitStatistics


def test_nested_entities_are_counted_as_by_comparing_all_pairs() -> None:
    def within(a: Entity, b: Entity) -> bool:
        return b.start <= a.start and a.end <= b.end

    generator = random.Random(0)
    found = 0
    for _ in range(300):
        spans = [sorted(generator.sample(range(9), 2)) for _ in range(generator.randint(0, 5))]
        entities = {Entity(*span, generator.choice("ab")) for span in spans}
        nested = sum(any(within(a, b) or within(b, a) for b in entities - {a}) for a in entities)
        # Repeated entities count once, as everywhere.
        example = Example("x" * 9, (*entities, *entities))
        statistics = SplitStatistics.from_examples([example], AlignmentReport())
        assert (statistics.nested, statistics.entities.total()) == (nested, len(entities))
        found += nested
    assert found > 300


def test_the_samples_are_nested_and_the_card_says_so() -> None:
    examples = list(read_examples(str(files("hf_globalpointer.data") / "samples" / "dev.jsonl")))
    statistics = SplitStatistics.from_examples(examples, AlignmentReport())
    assert (statistics.examples, statistics.entities.total(), statistics.nested) == (60, 192, 108)
