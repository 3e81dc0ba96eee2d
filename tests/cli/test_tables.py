from io import StringIO

from rich.console import Console

from hf_globalpointer import Entity, SpanMetrics
from hf_globalpointer.cli.tables import metrics_table


def test_scores_are_rows_under_their_names() -> None:
    gold = [{Entity(0, 1, "[/x]")}, {Entity(0, 1, "y")}]
    predicted = [{Entity(0, 1, "[/x]")}, {Entity(0, 2, "y")}]
    console = Console(width=100, record=True, file=StringIO())
    console.print(metrics_table(SpanMetrics.from_documents(gold, predicted), "q[dev]"))
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
