"""The page of the command line is what the application gives."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_page_of_commands_is_that_of_the_application(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # the page does not depend on the width of a terminal
    expected = runpy.run_path(str(DOCS / "commands.py"))["page"]()
    written = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    assert written == expected, "run: python docs/commands.py"


def test_every_argument_and_option_has_a_meaning():
    for line in (DOCS / "reference" / "commands.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            assert line.split(" | ")[-1].strip(" |"), line
