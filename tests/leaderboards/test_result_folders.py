"""Results of several folders stand side by side, each once."""

import shutil
from pathlib import Path

import pytest

from amsbench.benchmark.runs.results import ResultStore
from amsbench.errors import AmsbenchError
from amsbench.leaderboards.result_folders import PUBLISHED, ResultFolders
from amsbench.leaderboards.tables.make_tables import tables_of


def test_a_result_of_two_folders_counts_once_and_others_stand_beside_it(structural, tmp_path):
    published, own = structural(0.2, 0.001), structural(0.1, 0.001, method="zeolite-net")
    for folder, results in (("a", [published]), ("b", [published, own])):
        for result in results:
            ResultStore(tmp_path / folder).write(result)
    store = ResultFolders([tmp_path / "a", tmp_path / "b"])
    assert store.results() == [published, own]
    (table,) = tables_of(store.results())
    assert table.columns == ("steps", "material-sde", "zeolite-net")


def test_two_different_results_with_one_key_are_refused_with_both_files(structural, tmp_path):
    paths = [
        ResultStore(tmp_path / folder).write(structural(rdf, 0.001))
        for folder, rdf in (("a", 0.2), ("b", 0.1))
    ]
    with pytest.raises(AmsbenchError, match="two different results are called") as error:
        ResultFolders([tmp_path / "a", tmp_path / "b"]).results()
    assert all(str(path) in str(error.value) for path in paths)


def test_the_file_beside_a_result_is_found_in_the_folder_that_has_it(structural, tmp_path):
    result = structural(0.2, 0.001)
    path = ResultStore(tmp_path / "b").path(result.key, ".parquet")
    path.parent.mkdir(parents=True)
    path.touch()
    store = ResultFolders([tmp_path / "a", tmp_path / "b"])
    assert store.path(result.key, ".parquet") == path
    assert store.path(result.key) == ResultStore(tmp_path / "a").path(result.key)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(AmsbenchError, match="nowhere"):
        ResultFolders([tmp_path / "nowhere"]).results()


def test_the_published_results_are_small_and_read_back(tmp_path):
    files = sorted(Path(PUBLISHED).rglob("*.json"))
    assert len(ResultFolders([PUBLISHED]).results()) == len(files) > 300
    assert sum(path.stat().st_size for path in files) < 3_000_000  # they are part of the package
    shutil.copy(files[0], tmp_path)
    assert len(ResultFolders([PUBLISHED, tmp_path]).results()) == len(files)
