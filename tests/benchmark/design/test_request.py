"""Requests: defaults, and one sentence for what cannot be made."""

import numpy as np
import pytest

from amsbench.errors import AmsbenchError

from .conftest import PROPERTY


def test_the_default_tolerance_is_that_of_the_benchmark(designs, dataset):
    (target,) = designs.request(tolerance=None).targets
    labels = dataset.split("train").properties[:, dataset.property_names.index(PROPERTY)]
    assert target.tolerance == pytest.approx(0.5 * labels.std(), rel=1e-5)
    (named,) = designs.request(tolerance={PROPERTY: 2.5}).targets
    assert named.tolerance == 2.5


def test_the_place_of_a_target_among_the_data(designs):
    (middle,) = designs.request().targets
    assert f"of the {len(middle.labels)} training glasses" in middle.place()
    (high,) = designs.request(target=95.0).targets
    assert "above all of the" in high.place()
    assert "none of them within the tolerance" in high.place()
    (low,) = designs.request(target=10.0).targets
    assert "below all of the" in low.place()


def test_a_cell_is_that_of_the_structure_whatever_the_round(designs):
    request = designs.request(cell=[9.0, 9.5, 10.0])
    cells, counts = request.cells(0, 8)
    assert np.array_equal(cells[3:5], request.cells(3, 2)[0])
    assert (counts == int(0.11 * 9.0 * 9.5 * 10.0)).all()


MISTAKES = {
    "a tolerance of zero": ({"tolerance": 0.0}, f"the tolerance of {PROPERTY} is a number above 0, not 0.0"),
    "a tolerance of another property": (
        {"tolerance": {"hardness": 1.0}},
        "a tolerance of 'hardness' has no target",
    ),
    "a target that is no number": ({"target": float("nan")}, f"the target of {PROPERTY} is a number"),
    "no glasses": ({"count": 0}, "the number of glasses is a whole number, 1 or more, not 0"),
    "an unknown sampler": ({"sampler": "best"}, "has no sampler 'best'"),
    "a budget below a round": ({"most": 3}, "at most 3 structures are fewer than the 8 of a round"),
    "a budget of no time": ({"minutes": 0.0}, "the budget in minutes is a number above 0"),
    "a thin cell": ({"cell": 2.8}, "below the network's cutoff"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_be_made_is_refused_in_one_sentence(designs, case):
    options, words = MISTAKES[case]
    with pytest.raises(AmsbenchError, match=words):
        designs.request(**options)
