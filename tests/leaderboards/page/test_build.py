"""The folder of the page: replaced as a whole, refused where it is not its own, the same for the same results."""

import json
import re
import sys
from pathlib import Path

import pytest

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.page.build import MARKER, SCRIPTS, page_files, script, write_page

from .conftest import HOSTILE, HOSTILE_REASON

pytest.importorskip("plotly", reason="plotly is not installed: pip install 'amsbench[page]'")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def data_of(content):
    """What a data script hands to the page."""
    name, data = re.fullmatch(r"amsbench\.\w+\((.*?),([\[{].*)\);\n", content.decode(), re.DOTALL).groups()
    return json.loads(name), json.loads(data)


def test_two_builds_are_equal(silica_results, published):
    chosen = silica_results[:4]
    first, second = page_files(chosen, published), page_files(chosen, published)
    assert list(first) == list(second)
    assert first == second


def test_an_earlier_page_is_replaced_with_all_its_files(structural, inverse, tmp_path):
    folder = tmp_path / "page"
    write_page([structural(0.3, 0.001), inverse(3.0, 4.0, 16.0)], folder)
    assert (folder / "data" / "dataset-1.js").is_file()
    write_page([structural(0.3, 0.001)], folder)
    assert contents(folder) == page_files([structural(0.3, 0.001)])
    assert not (folder / "data" / "dataset-1.js").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_an_empty_folder_is_filled(structural, tmp_path):
    (tmp_path / "page").mkdir()
    assert write_page([structural(0.3, 0.001)], tmp_path / "page").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("name", ["thesis.tex", MARKER])
def test_a_folder_of_others_is_not_overwritten(structural, tmp_path, name):
    (tmp_path / name).write_text("[]")
    before = contents(tmp_path)
    with pytest.raises(AmsbenchError, match="is not a page that 'amsbench page' made"):
        write_page([structural(0.3, 0.001)], tmp_path)
    assert contents(tmp_path) == before


def test_a_file_of_others_in_a_page_is_kept(structural, tmp_path):
    folder = tmp_path / "page"
    write_page([structural(0.3, 0.001)], folder)
    (folder / "data" / "notes.txt").write_text("mine")
    before = contents(folder)
    with pytest.raises(AmsbenchError, match=r"holds data/notes\.txt, which is no part of the page"):
        write_page([structural(0.3, 0.001)], folder)
    assert contents(folder) == before


def test_a_file_in_the_place_of_the_folder_is_named(structural, tmp_path):
    (tmp_path / "page").write_text("mine")
    with pytest.raises(AmsbenchError, match="it is a file"):
        write_page([structural(0.3, 0.001)], tmp_path / "page")
    assert (tmp_path / "page").read_text() == "mine"


def test_an_interrupted_build_leaves_the_earlier_page(structural, tmp_path, monkeypatch):
    folder = tmp_path / "page"
    write_page([structural(0.3, 0.001)], folder)
    before = contents(folder)

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(AmsbenchError, match="No space left on device"):
            write_page([structural(0.2, 0.001)], folder)
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_without_plotly_one_sentence_says_what_to_install(structural, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(AmsbenchError, match=re.escape("pip install 'amsbench[page]'")):
        write_page([structural(0.3, 0.001)], tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_no_results_are_an_error(tmp_path):
    with pytest.raises(AmsbenchError, match="no results to make a page of"):
        write_page([], tmp_path / "page")


def test_hostile_names_stay_data(silica_results, hostile, published):
    files = page_files([*silica_results[:2], hostile(silica_results[0])], published)
    assert all(re.fullmatch(r"[a-z0-9_./-]+", name) for name in files)
    for name, content in files.items():
        if name.startswith("data/"):
            assert not set("<>&\u2028\u2029") & set(content.decode())
    _, data = data_of(files["data/dataset-0.js"])
    (row,) = [row for c in data["comparisons"] for row in c["rows"] if row["method"] == HOSTILE]
    assert list(row["failures"]["shear_modulus"]) == [HOSTILE_REASON]
    assert HOSTILE not in files["index.html"].decode()


def test_numbers_that_json_cannot_hold_are_none():
    assert (
        script("add", 0, {"a": [float("nan"), 1.5, float("inf")]})
        == b'amsbench.add(0,{"a":[null,1.5,null]});\n'
    )


def test_the_page_loads_its_own_files_and_nothing_else(structural):
    files = page_files([structural(0.3, 0.001)])
    index = files["index.html"].decode()
    sources = re.findall(r'(?:src|href)="([^"#]+)"', index)
    assert {source for source in sources if source != "data:,"} <= set(files)
    assert {f"{name}.js" for name in SCRIPTS} <= set(sources)
    assert "http" not in index.replace("http-equiv", "").split("<pre>")[0]
    assert "Permission is hereby granted" in index  # the licence of plotly
