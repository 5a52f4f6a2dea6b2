"""What a run says of its results while it makes them, and its bars at the end."""

import pytest

from amsbench.leaderboards.headlines import BAR, bars, headline, outcome


def test_the_headline_of_structure_is_the_error_of_the_first_curve(structural):
    assert headline(structural(0.2, 0.001)).text == "RDF RMSD 0.2"


def test_the_headline_of_inverse_design_is_over_all_requests(inverse):
    half = inverse(3.0, 4.0, 16.0, measured=25)
    assert headline(half).value == half.inverse_design["shear_modulus"].penalised_mae
    assert headline(half).text.startswith("MAE of shear_modulus (GPa) over all requests 16.5")


def test_a_result_is_told_with_its_hits_and_the_best_one_so_far_of_its_plan(inverse, structural):
    best, worse = inverse(3.0, 4.0, 16.0, steps=25), inverse(5.0, 6.0, 20.0, steps=5)
    assert outcome(best, []) == "MAE of shear_modulus (GPa) over all requests 3" + hits_of(best)
    assert (
        outcome(worse, [best])
        == f"MAE of shear_modulus (GPa) over all requests 5{hits_of(worse)} (best so far 3: euler-maruyama, 25 steps)"
    )
    assert outcome(best, [worse]) == outcome(best, [])
    assert "best so far" not in outcome(worse, [structural(0.01, 0.001)])


def hits_of(result):
    hits = result.hits
    return "" if hits is None else f", {hits.hits} of {hits.requested} requests hit"


def test_bars_have_the_proportions_of_the_numbers_and_fit_the_terminal(structural):
    results = [structural(0.4, 0.002, steps=1), structural(0.1, 0.001, steps=5)]
    lines = bars(results, 80)
    assert lines[:2] == ["", "RDF RMSD, structure"]
    lengths = [line.count(BAR) for line in lines[2:]]
    assert lengths[0] == 4 * lengths[1]
    assert lengths[2] == pytest.approx(lengths[0] * 0.0132 / 0.4, abs=1)
    assert "noise floor" in lines[4]
    for width in (60, 80, 200):
        assert max(len(line) for line in bars(results, width)) <= width


@pytest.mark.parametrize("width", [None, 40])
def test_without_room_there_are_no_bars(structural, width):
    assert bars([structural(0.4, 0.002, steps=1), structural(0.1, 0.001, steps=5)], width) == []


def test_a_plan_with_a_single_result_has_none(structural):
    assert bars([structural(0.4, 0.002)], 80) == []
