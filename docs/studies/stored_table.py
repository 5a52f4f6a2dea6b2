"""What studies share: numbers in a file beside a study, and the table of them in a page of the documentation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amsbench.benchmark.system.files import write_text
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.pages import between_markers

STUDIES = Path(__file__).parent


@dataclass(frozen=True)
class StoredTable:
    """The numbers of a study in STUDY.json, and their table in a page below ``docs``.

    title: of the two comments that enclose the table, ``<!-- TITLE -->`` and ``<!-- end of TITLE -->``
    """

    study: str
    page: str
    title: str

    @property
    def file(self) -> Path:
        """The file of the numbers."""
        return STUDIES / f"{self.study}.json"

    def numbers(self) -> Any:
        """What ``store`` has stored; None before that."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None

    def store(self, numbers: Any) -> None:
        """Replace the file by one of these numbers."""
        write_text(self.file, json.dumps(numbers, indent=1) + "\n")

    def is_on_page(self, table: str) -> bool:
        """Whether the page has this table."""
        return self._page_with(table) == self._path.read_text(encoding="utf-8")

    def write(self, table: str) -> None:
        """Put a table into the page."""
        write_text(self._path, self._page_with(table))

    @property
    def _path(self) -> Path:
        return STUDIES.parent / self.page

    def _page_with(self, table: str) -> str:
        markers = (f"<!-- {self.title} -->", f"<!-- end of {self.title} -->")
        return between_markers(self._path.read_text(encoding="utf-8"), markers, f"\n{table}\n\n")


def run_study(main: Callable[[list[str]], None]) -> None:
    """Run a study with the arguments of the command line; an AmsbenchError becomes one sentence."""
    try:
        main(sys.argv[1:])
    except AmsbenchError as error:
        sys.exit(str(error))
