"""The table of the spread between trainings is that of the stored ones, with numbers that are known by hand."""

import pytest


@pytest.fixture
def study(script):
    return script("studies/training_seeds.py")


def row(seed, rdf, half, energy):
    curves = {name: {"rmsd": rdf, "low": rdf - half, "high": rdf + half} for name in ("rdf", "adf")}
    place = {"method": "cdvae", "sampler": "langevin", "steps": 25, "seed": seed}
    return place | curves | {"energy_deviation": energy}


def test_a_cell_has_mean_and_spread_of_the_trainings_and_the_interval_of_one(study):
    """Mean of 0.1, 0.2 and 0.3, standard deviation 0.1; intervals of +- 0.02, 0.03 and 0.04."""
    rows = [row(0, 0.1, 0.02, 3.0), row(1, 0.2, 0.03, 1.0), row(2, 0.3, 0.04, 2.0)]
    (line,) = study.table(rows).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["`cdvae` langevin", "25", "3", "0.2000 \u00b1 0.1000 (0.0300)"]
    assert cells[-1] == "1.0 to 3.0"


def test_one_training_has_no_spread(study):
    assert "| 0.1000 (0.0200) " in study.table([row(0, 0.1, 0.02, 3.0)])


def test_the_page_has_the_table_of_the_stored_trainings(study):
    page = study.PAGE.read_text(encoding="utf-8")
    assert study.page_with(study.table(study.stored()), page) == page, (
        "run: python docs/studies/training_seeds.py table"
    )
