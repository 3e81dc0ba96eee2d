"""Prints what the suite says of our model classes next to the nearest class of transformers itself.

Run from the root of the repository: `.venv/bin/python tests/transformers_suite/compare.py`
"""

import inspect
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest


FOLDER = Path(__file__).parent


class Outcomes:
    """A pytest plugin that keeps what became of each test, with its reason where it was skipped."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, str]] = defaultdict(dict)
        self.seconds: Counter[str] = Counter()
        self.subtests: Counter[str] = Counter()
        self.own: dict[str, set[str]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            if inspect.unwrap(item.obj).__module__ == "transformers_suite.testers":
                self.own[item.cls.__name__].add(item.name)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        _, name, test = report.nodeid.split("::")
        self.seconds[name] += report.duration
        if isinstance(report, pytest.SubtestReport):
            self.subtests[name] += report.passed
        if report.skipped and isinstance(report.longrepr, tuple):
            # A test that skips one of its subtests ends as passed; its reason is what counts here.
            self.of[name][test] = report.longrepr[2]
        elif report.failed or (report.when == "call" and not isinstance(report, pytest.SubtestReport)):
            self.of[name].setdefault(test, report.outcome)


def stock_name(name: str) -> str:
    """The test class of the nearest model in transformers: the same encoder, with a classifier for each token."""
    encoder = next((encoder for encoder in ("ModernBert", "DebertaV2") if name.startswith(encoder)), "Bert")
    return f"{encoder}ForTokenClassificationTest"


def main() -> int:
    """Run the suite on both and print counts, then every test that only transformers' class passes."""
    outcomes = Outcomes()
    modules = [str(FOLDER / name) for name in ("stock_models.py", "test_models_in_suite.py")]
    status = pytest.main(["-q", "--no-header", "--no-summary", *modules], plugins=[outcomes])
    for name, tests in outcomes.of.items():
        counts = Counter(outcome if outcome in ("passed", "failed") else "skipped" for outcome in tests.values())
        print(
            f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped, "
            f"{outcomes.subtests[name]} subtests, {outcomes.seconds[name]:.1f} s"
        )
    for name, tests in outcomes.of.items():
        stock = outcomes.of[stock_name(name)]
        if stock is tests:
            continue
        print(f"\n{name}, against {stock_name(name)}")
        overridden = outcomes.own[name] - outcomes.own[stock_name(name)]
        print("  overridden: " + ", ".join(sorted(overridden)))
        for test in sorted({*stock, *tests}):
            ours, theirs = tests.get(test, "not there"), stock.get(test, "not there")
            if theirs == "passed" and ours != "passed":
                print(f"  {test}: {ours}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
