"""Which tables are made of which results, and what is refused."""

import pytest

from amsbench.errors import AmsbenchError
from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.make_tables import chosen, tables_of
from amsbench.leaderboards.tables.structural import structural_tables


def test_some_methods_and_samplers_are_chosen(structural):
    kinds = [(m, s) for m in ("a", "b") for s in ("ode", "ancestral")]
    results = [structural(0.1, 0.001, method=method, sampler=sampler) for method, sampler in kinds]
    assert chosen(results) == results
    selected = chosen(results, ["b"], ["ancestral", "ode"])
    assert {(result.key.method, result.key.sampler) for result in selected} == {
        ("b", "ode"),
        ("b", "ancestral"),
    }
    with pytest.raises(AmsbenchError, match="no result of sampler 'ancestal' here; did you mean 'ancestral'"):
        chosen(results, None, ["ancestal"])
    with pytest.raises(AmsbenchError, match="no result of method 'c' here; known: a, b"):
        chosen(results, ["c"])


def test_nothing_to_show_is_said_with_the_fix(structural, inverse):
    with pytest.raises(AmsbenchError, match=r"no inverse-design results among the 1 results.*amsbench run"):
        inverse_design_tables([structural(0.2, 0.001)])
    with pytest.raises(AmsbenchError, match="no structural results"):
        structural_tables([inverse(1.0, 2.0, 3.0)])
    with pytest.raises(AmsbenchError, match="amsbench run"):
        tables_of([])
    with pytest.raises(AmsbenchError, match="unknown kind of table 'elastic'; known: structural"):
        tables_of([structural(0.2, 0.001)], "elastic")


def test_damaged_results_are_named(structural, inverse):
    empty = structural(0.2, 0.001).model_copy(update={"structural": None})
    with pytest.raises(AmsbenchError, match=f"{empty.key.stem} is structural but holds no structural errors"):
        structural_tables([empty])
    bare = inverse(1.0, 2.0, 3.0).model_copy(update={"inverse_design": {}})
    with pytest.raises(AmsbenchError, match=f"{bare.key.stem} has targets of 'shear_modulus'"):
        inverse_design_tables([bare])


def test_without_a_kind_there_are_tables_of_every_kind(structural, inverse):
    results = [structural(0.2, 0.001), inverse(1.0, 2.0, 3.0)]
    assert [table.title.split(":")[0] for table in tables_of(results)] == [
        "Structure",
        "Inverse design, shear_modulus (GPa)",
    ]
    assert len(tables_of(results, "structural")) == 1
    assert [table.title.split(":")[0] for table in tables_of(results, detail=True)] == [
        "Structure",
        "RDF RMSD with intervals",
        "ADF RMSD with intervals",
        "Wasserstein-1 distances",
        "Descriptors and cost",
        "Inverse design, shear_modulus (GPa)",
        "Rank correlation, shear_modulus",
        "MAE and RMSE with intervals, shear_modulus (GPa)",
        "MAE over all requests, shear_modulus (GPa)",
        "Descriptors and cost",
    ]
