"""``amsbench page``: which results it takes, and what it says."""

import re
import sys

import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.leaderboards.result_folders import PUBLISHED, ResultFolders


@pytest.fixture
def results(tmp_path):
    """A folder with one published result."""
    folders = ResultFolders([PUBLISHED])
    result = next(
        r for r in folders.results() if r.key.method == "random-relax" and r.key.protocol == "standard"
    )
    ResultStore(tmp_path / "mine").write(result)
    return tmp_path / "mine"


def test_a_folder_of_results_becomes_a_page(amsbench, results, tmp_path):
    pytest.importorskip("plotly", reason="plotly is not installed: pip install 'amsbench[page]'")
    code, _, err = amsbench("page", "page", "--results", results)
    assert code == 0, err
    assert re.search(r"Page of 1 results, \d\.\d MB: \S+/page/index\.html", err)
    assert (tmp_path / "page" / "index.html").is_file()


def test_mistakes_are_one_sentence_and_write_nothing(amsbench, mistake, results, tmp_path, monkeypatch):
    mistake(amsbench("page", "page"), "no results folder at results")
    mistake(amsbench("page", "page", "--results", results, "--methods", "amshortcutt"), "amshortcutt")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    mistake(amsbench("page", "thesis", "--results", results), "thesis is not a page", "give another folder")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    mistake(amsbench("page", "page", "--results", results), "pip install 'amsbench[page]'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "thesis"]
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]
