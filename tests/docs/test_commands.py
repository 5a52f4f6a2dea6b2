"""The page of all commands is that of the command line."""

import re
import runpy
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from amsbench.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date():
    module = runpy.run_path(str(DOCS / "commands.py"))
    assert (DOCS / "reference" / "commands.md").read_text() == module["page"](), (
        "run 'python docs/commands.py' and commit the page"
    )


def test_the_page_has_every_option_of_help():
    module = runpy.run_path(str(DOCS / "commands.py"))
    sections = (DOCS / "reference" / "commands.md").read_text().split("\n## ")
    pages = {section.splitlines()[0]: section for section in sections[1:]}
    names = [name for name, _ in module["commands"](get_command(app), "amsbench")]
    assert list(pages) == names
    count = 0
    for name in names:
        text = CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "200"}).output
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"}
        count += len(options)
        assert all(option in pages[name] for option in options), name
    assert count > 60
