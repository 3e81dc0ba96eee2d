"""What a prediction found, in one line."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Summary:
    """Counts of records, and the time since they were asked for.

    Args:
        files (`list[Path]`): Where they are written.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._texts = 0
        self._entities: Counter[str] = Counter()
        self._began = time.monotonic()

    def counting(self, records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield each record once it is counted."""
        for record in records:
            self._texts += 1
            self._entities.update(entity["label"] for entity in record["entities"])
            yield record

    def __str__(self) -> str:
        types = ", ".join(f"{label} {count}" for label, count in self._entities.most_common())
        found = f"texts: {self._texts}, entities: {self._entities.total()}{f' ({types})' if types else ''}"
        written = f"; written: {', '.join(map(str, self._files))}" if self._files else ""
        return f"{found}, seconds: {time.monotonic() - self._began:.1f}{written}."
