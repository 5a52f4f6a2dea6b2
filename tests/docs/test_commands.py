"""The page of the command line is what the application gives."""

import re
import runpy
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from amsbench.cli.main import app

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


def test_the_page_has_every_option_of_help():
    module = runpy.run_path(str(DOCS / "commands.py"))
    sections = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8").split("\n## ")
    pages = {section.splitlines()[0]: section for section in sections[1:]}
    names = [name for name, _ in module["commands_of"](get_command(app), ("amsbench",))]
    assert list(pages) == names
    count = 0
    for name in names:
        text = CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "200"}).output
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"}
        count += len(options)
        assert all(option in pages[name] for option in options), name
    assert count > 60
