from io import StringIO

from rich.console import Console

from hf_globalpointer import SpanMetrics
from hf_globalpointer.cli.tables import metrics_table
from hf_globalpointer.evaluation.metrics import SpanKey


def test_scores_are_rows_under_their_names() -> None:
    gold = {SpanKey("a", "[/x]", 0, 1), SpanKey("b", "y", 0, 1)}
    predicted = {SpanKey("a", "[/x]", 0, 1), SpanKey("b", "y", 0, 2)}
    console = Console(width=100, record=True, file=StringIO())
    console.print(metrics_table(SpanMetrics.from_spans(gold, predicted), "q[dev]"))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == "q[dev]"
    rows = [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in lines if line[0] in "┃│"
    ]
    assert rows == [
        ["type", "precision", "recall", "F1", "gold", "predicted", "correct"],
        ["[/x]", "1.0000", "1.0000", "1.0000", "1", "1", "1"],
        ["y", "0.0000", "0.0000", "0.0000", "1", "1", "0"],
        ["micro", "0.5000", "0.5000", "0.5000", "2", "2", "1"],
        ["macro", "0.5000", "0.5000", "0.5000", "", "", ""],
    ]
