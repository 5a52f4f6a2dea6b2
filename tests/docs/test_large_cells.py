"""The table of large cells is that of the stored measurement, in which cost per atom and memory have to be flat."""

import pytest


@pytest.fixture
def study(script):
    return script("studies/large_cells.py")


def test_times_are_those_of_one_atom_and_one_step(study):
    """0.4 s of five steps for 200 sites are 400 us; 0.01 s for 100 atoms are 100 us."""
    row = {"sites": 200, "generation": 0.4, "gigabytes of generation": 0.25, "atoms": 100, "gigabytes": 0.5}
    row |= dict.fromkeys(study.MEASURED[:-1], 0.01)
    (line,) = study.table([row]).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["100", "400", "0.25", "100", "100", "100", "100", "-", "0.50"]


def test_the_cost_of_an_atom_does_not_grow_from_small_to_large_cells(study):
    """What docs/speed.md says of its table: at most a fifth more, and memory of at most 20 kB per atom."""
    first, *_, last = study.stored()
    assert last["atoms"] > 50_000
    assert last["generation"] / last["sites"] < 1.2 * first["generation"] / first["sites"]
    for name in ("rdf and adf", "sq", "rings", "energy"):
        assert last[name] / last["atoms"] < 1.2 * first[name] / first["atoms"], name
    assert (last["gigabytes"] - first["gigabytes"]) * 1e6 / last["atoms"] < 20


def test_the_page_has_the_table_of_the_stored_measurement(study):
    assert study.STORED.is_on_page(study.table(study.stored())), (
        "run: python docs/studies/large_cells.py table"
    )
