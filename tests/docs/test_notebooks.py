"""The notebooks of the documentation run, every last expression of a cell shows itself, and no output is stored."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


def shown_by(source, names):
    """Execute the code of a cell and return the value of its last expression, None where it ends otherwise."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_makes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are made where a notebook is read, not stored"
            value = shown_by("".join(cell["source"]), names)
            if value is not None:
                assert hasattr(value, "_repr_html_") or hasattr(value, "_repr_mimebundle_")
                shown.append(type(value).__name__)
    assert shown == ["StructureView", "Evaluation", "Table", "Drawing"]


def test_there_are_notebooks():
    assert NOTEBOOKS
