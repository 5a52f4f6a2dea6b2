"""The committed pages are what the published results give."""

from pathlib import Path

import pytest

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.pages import MARKERS, block_of, pages_of, write_block, write_pages
from amsbench.leaderboards.result_folders import PUBLISHED, ResultFolders
from amsbench.leaderboards.tables.summary import summary_tables

COMMITTED = Path(__file__).parents[2] / "docs" / "results"


def test_the_committed_pages_are_those_of_the_published_results():
    published = ResultFolders([PUBLISHED])
    pages = pages_of(published.results(), published)
    assert {path.name for path in COMMITTED.iterdir()} == set(pages)
    for name, text in pages.items():
        assert (COMMITTED / name).read_text(encoding="utf-8") == text, (
            f"docs/results/{name} is not up to date; run "
            "'amsbench table --results leaderboards/results --pages docs/results'"
        )


def test_pages_have_all_tables_of_their_dataset(structural, inverse, tmp_path):
    paths = write_pages([structural(0.2, 0.001), inverse(3.0, 4.0, 16.0)], tmp_path / "pages")
    assert [path.name for path in paths] == ["index.md", "summary.md", "liquid_silicon.md", "silica.md"]
    texts = {path.name: path.read_text() for path in paths}
    assert "| 1                | 0.2000 / 0.00100 (2.6 m) |" in texts["liquid_silicon.md"]
    assert "RDF RMSD with intervals" in texts["liquid_silicon.md"]
    assert "MAE over all requests, shear_modulus (GPa)" in texts["silica.md"]
    assert "[asio2: silica glass](silica.md): 1 result of 1 method" in texts["index.md"]
    with pytest.raises(AmsbenchError, match="no results to write pages of"):
        write_pages([], tmp_path / "pages")


def test_the_summary_has_the_best_of_each_method_in_few_and_in_many_steps(structural, inverse):
    structures = [
        structural(rdf, 0.001, steps=steps, sampler=sampler)
        for rdf, steps, sampler in (
            (0.30, 1, "euler-maruyama"),
            (0.20, 5, "euler-maruyama"),
            (0.10, 5, "ancestral"),
            (0.05, 10, "ancestral"),
            (0.07, 100, "ancestral"),
        )
    ]
    errors = [
        inverse(1.0, 2.0, 6.0, steps=1, measured=40),  # small errors and ten failures are not the best
        inverse(5.0, 6.0, 26.0, steps=5),
        inverse(2.0, 3.0, 10.0, steps=25, method="graphite", sampler="own"),
    ]
    structure, design = summary_tables([*structures, *errors])
    assert structure.rows[0] == (
        "material-sde",
        "0.1000 / 0.00100 (5 steps)",
        "0.0500 / 0.00100 (10 steps)",
    )
    assert design.columns == ("dataset", "property", "steps", "graphite", "material-sde", "training mean")
    place = "asio2", "shear_modulus (GPa)"
    assert design.rows == (
        (*place, "at most 5 steps", "-", "5.00 (5)", "11.25"),
        (*place, "more than 5 steps", "2.00 (25)", "-", "11.25"),
    )
    assert "mix numbers of steps" in " ".join(structure.caption)
    assert "mix numbers of steps" in " ".join(design.caption)


def test_the_summary_prefers_models_without_a_training_budget(structural):
    fixed = {"options": {"samples_seen": 12_000}, "init_from": None}
    results = [
        structural(0.1, 0.001, checkpoint_hash="1" * 64, training=fixed),
        structural(0.1, 0.001, checkpoint_hash="1" * 64, training=fixed, steps=2),
        structural(0.3, 0.001),
    ]
    (table,) = summary_tables(results)
    assert "budget" not in table.title
    assert table.rows[0][1] == "0.3000 / 0.00100 (1 step)"


def test_the_leaderboard_in_the_readme_is_that_of_the_published_results():
    """``amsbench table --published --pages docs/results --readme README.md`` writes it."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    block = text.split(MARKERS[0])[1].split(MARKERS[1])[0]
    assert block.strip() == block_of(list(ResultFolders([PUBLISHED]).results())).strip()


def test_a_file_without_markers_is_named(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("no markers\n")
    with pytest.raises(AmsbenchError, match=r"page\.md has no text between"):
        write_block(list(ResultFolders([PUBLISHED]).results()), file)
    assert file.read_text() == "no markers\n"


def test_the_summary_prefers_other_protocols_to_quick(structural):
    results = [
        *(structural(0.1, 0.001, protocol="quick", steps=steps) for steps in (1, 2, 5)),
        structural(0.3, 0.001, protocol="standard"),
    ]
    (table,) = summary_tables(results)
    assert "protocol standard" in table.title
    assert table.rows[0][1] == "0.3000 / 0.00100 (1 step)"
