"""What could not be read or written exactly."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from .examples import DataError, Example


# Takes one sentence that says where and what; raises it, or counts it.
OnProblem = Callable[[str], None]


@dataclass
class DataReport:
    """How many examples and entities passed, and what could not be read or written exactly.

    Give one to `read_examples` or `write_examples`, and a problem is counted here; without one it is a `DataError`.

    Args:
        num_examples (`int`): Examples so far.
        num_entities (`int`): Their distinct entities.
        problems (`list[str]`): The problems so far, each with its place and what was done about it.
    """

    num_examples: int = 0
    num_entities: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def num_problems(self) -> int:
        """Problems so far."""
        return len(self.problems)

    def add(self, problem: str) -> None:
        """Count a problem."""
        self.problems.append(problem)

    def summary(self, limit: int = 5) -> str:
        """One line with the counts, then up to `limit` of the problems, a line each."""
        lines = [f"examples: {self.num_examples}, entities: {self.num_entities}, problems: {self.num_problems}."]
        shown = self.problems[:limit]
        lines += [f"  {problem}" for problem in shown]
        if self.num_problems > len(shown):
            lines.append(f"  ... and {self.num_problems - len(shown)} more")
        return "\n".join(lines)


def refuse(problem: str) -> None:
    """What a problem meets where there is no report: raise it as a `DataError`."""
    raise DataError(
        f"{problem} Correct it; or let `hf-globalpointer data convert` rewrite the data so (in Python, "
        "`read_examples(..., report=DataReport())` reads them so)."
    )


def counted(examples: Iterable[Example], report: DataReport | None, if_none: str) -> Iterator[Example]:
    """Pass examples on, and count them where there is a report.

    Raises:
        DataError: If there are none: what `if_none` says, and the problem that may be why.
    """
    problems = 0 if report is None else len(report.problems)
    empty = True
    for example in examples:
        empty = False
        if report is not None:
            report.num_examples += 1
            report.num_entities += len(set(example.entities))
        yield example
    if empty:
        why = [] if report is None else report.problems[problems : problems + 1]
        raise DataError(" ".join([if_none, *why]))
