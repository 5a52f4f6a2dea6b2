"""Energies stand beside structural errors, and what is said of a set of structures among its descriptors."""

from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import FLOOR, structural_tables
from amsbench.leaderboards.tables.summary import summary_tables

SET = {
    "density": 2.41,
    "density_std": 0.02,
    "minimum_distance": 2.1,
    "energy_per_atom": -3.47,
    "energy_per_atom_deviation": 15.23,
    "density_deviation": -0.04,
    "relaxed_energy_per_atom_deviation": 4.56,
    "relaxed_density_deviation": 1.24,
    "right_substance": 0.125,
    "copies": 0.5,
    "duplicates": 0.0,
    "environment_distance": 0.1234,
}
RING = {"plan": "ring_size", "targets": {"ring_size": (4.0, 6.0)}}


def test_what_is_said_of_a_set_is_among_its_descriptors_behind_what_it_is_about(structural):
    result = structural(0.2, 0.001, steps=5, descriptors=SET)
    table = structural_tables([result], detail=True)[-1]
    heads = (
        *("density (g/cm³)", "density (σ)", "energy (eV/atom)", "energy (σ)", "relaxed density (σ)"),
        *("relaxed energy (σ)", "right substance (%)", "copies (%)", "duplicates (%)"),
        "distance of environments (Å)",
    )
    assert table.columns[1 : 1 + len(heads)] == heads
    shown = table.frame().loc["material-sde, 5 steps", list(heads)].tolist()
    assert shown == ["2.41 ± 0.02", "-0.04", "-3.470", "15.2", "1.2", "4.6", "12", "50", "0", "0.123"]
    assert table.frame().loc["training set", "energy (σ)"] == "-"
    assert "standard deviations of the data" in " ".join(table.caption)
    (record,) = [row for row in table.records if row["quantity"] == "energy_per_atom_deviation"]
    assert (record["statistic"], record["value"]) == ("median", 15.23)


def test_an_energy_that_is_far_off_stands_behind_a_small_error(structural):
    results = [structural(0.0209, 0.0007, steps=5, descriptors=SET), structural(0.3, 0.002, steps=10)]
    for detail in (False, True):
        table = structural_tables(results, detail=detail)[0]
        assert [row[1] for row in table.rows[:2]] == [
            "0.0209 / 0.00070, 15.2 σ (2.6 m)",
            "0.3000 / 0.00200 (2.6 m)",
        ]
        assert table.rows[2] == ("noise floor", "0.0132 / 0.00014")
        assert "σ: median deviation" in " ".join(table.caption)
    (summary,) = summary_tables(results)
    assert summary.rows[0][1:] == (
        "0.0209 / 0.00070, 15.2 σ (5 steps)",
        "0.3000 / 0.00200 (10 steps)",
    )
    assert "σ: median deviation" in " ".join(summary.caption)


def test_without_deviations_there_is_no_word_of_them(structural):
    results = [structural(0.0209, 0.0007, steps=5)]
    tables = [*structural_tables(results, detail=True), *summary_tables(results)]
    for table in tables:
        assert "σ" not in " ".join([*table.caption, *table.columns])


def test_an_overview_has_the_energy_furthest_from_that_of_the_data(inverse):
    def with_energy(deviation):
        return {"descriptors": {"density": 2.3, "energy_per_atom_deviation": deviation}}

    results = [
        inverse(3.0, 4.0, 16.0, **with_energy(2.0)),
        inverse(0.2, 0.3, 4.0, **RING, **with_energy(-7.0)),
        inverse(3.0, 4.0, 16.0, steps=5, **with_energy(None)),
        inverse(0.2, 0.3, 4.0, steps=5, **RING),
    ]
    overview = inverse_design_tables(results)[0]
    assert overview.frame()["energy (σ)"].tolist() == ["-7.0", "-", "-"]
    assert "furthest from 0" in " ".join(overview.caption)
    (table,) = inverse_design_tables(results[-2:])
    assert "energy (σ)" not in table.columns


def test_the_floor_is_that_of_a_perfect_generator(structural):
    results = [structural(0.2, 0.001)]
    for table in (
        *structural_tables(results),
        structural_tables(results, detail=True)[0],
        *summary_tables(results),
    ):
        assert f"oise floor: {FLOOR}; random positions" in " ".join(table.caption)
    assert "perfect generator" in FLOOR
