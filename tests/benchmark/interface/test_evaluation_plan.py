"""Evaluation plans: what a change of the number of structures leaves as it is."""

import numpy as np
import pytest

from amsbench.benchmark.interface.evaluation_plan import (
    PROTOCOLS,
    inverse_design_plans,
    reference_split,
    structural_plan,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_count_keeps_the_reference(protocol):
    plan = structural_plan(protocol, 1, 100, (1, 5))
    fewer = plan.changed(count=8)
    assert fewer.protocol != plan.protocol
    assert reference_split(fewer.protocol) == reference_split(plan.protocol)
    assert fewer.changed(count=9).protocol == fewer.protocol
    assert plan.changed(count=100) == plan


def test_the_paper_compares_with_the_training_set():
    assert [reference_split(protocol) for protocol in PROTOCOLS] == ["test", "test", "train"]


def test_custom_plans_of_different_references_are_told_apart():
    paper, standard = (
        structural_plan(protocol, 1, 100, (1,)).changed(count=8) for protocol in ("paper", "standard")
    )
    assert paper.protocol != standard.protocol


def test_targets_are_evenly_spaced():
    (plan,) = inverse_design_plans("quick", 1, 5, (1,), 14.0, {"g": {"g": (10.0, 50.0), "li": (15.0, 15.0)}})
    values = plan.target_values()
    np.testing.assert_allclose(values["g"], [10, 20, 30, 40, 50])
    np.testing.assert_allclose(values["li"], 15.0)
