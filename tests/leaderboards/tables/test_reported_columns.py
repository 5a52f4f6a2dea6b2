"""The values of the paper as columns of their own."""

from amsbench.leaderboards.tables.inverse_design import inverse_design_tables
from amsbench.leaderboards.tables.structural import structural_tables


def text(table, row, column):
    return table.frame().loc[row, column]


def caption(table):
    return " ".join(table.caption)


def test_reported_values_stand_in_marked_columns(structural, inverse):
    (table,) = structural_tables([structural(0.2, 0.001)], with_paper=True)
    assert table.columns[1:3] == ("material-sde", "cdvae (reported)")
    assert text(table, "1", "amshortcut (reported)") == "0.0251 / 0.00067 (2.2 m)"
    assert text(table, "250", "amshortcut (reported)") == "0.0155 / 0.00029 (3.6 h)"
    assert text(table, "100", "material-sde") == "-"
    assert text(table, "noise floor", "cdvae (reported)") == "-"
    assert "(reported): values printed in arXiv 2603.29812" in caption(table)

    ring = inverse(0.2, 0.3, 4.0, plan="ring_size", targets={"ring_size": (4.0, 6.0)})
    errors = inverse_design_tables([ring], with_paper=True)[0]
    assert text(errors, "10", "amshortcut (All) (reported)") == "0.15 / 0.19 / 3.0%"
    assert text(errors, "1", "material-ode (Target) (reported)") == "-"  # unreadable in print
    assert "other targets" not in caption(errors)


def test_other_targets_than_the_papers_are_declared(inverse):
    result = inverse(3.0, 4.0, 16.0, targets={"shear_modulus": (20.0, 40.0)})
    errors = inverse_design_tables([result], with_paper=True)[0]
    assert "The paper has other targets: shear_modulus 10 to 50." in caption(errors)


def test_a_dataset_that_the_paper_does_not_know_gets_no_reported_columns(structural):
    (table,) = structural_tables([structural(0.2, 0.001, dataset="chalcogenide")], with_paper=True)
    assert table.columns == ("steps", "material-sde")
    assert "The paper reports nothing to compare this table with." in caption(table)
