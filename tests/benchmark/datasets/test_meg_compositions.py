"""Enumeration of the multi-element compositions against known counts, and neutral cells of whole atoms."""

from fractions import Fraction

import numpy as np
import pytest

from amsbench.benchmark.datasets.meg_compositions import (
    ELEMENTS,
    FORMERS,
    VALENCE,
    Composition,
    compositions,
    sampling_weights,
)


def named(**parts):
    return Composition(tuple(Fraction(parts.get(element, 0)) for element in ELEMENTS[:-1]))


@pytest.fixture(scope="module")
def every():
    return compositions()


def test_there_are_9240_of_them(every):
    assert len(every) == len(set(every)) == 9240
    for item in every:
        formers = sum(item.cations[: len(FORMERS)])
        assert sum(item.cations) == 1
        assert Fraction(3, 5) <= formers <= 1
        assert all((6 * part / formers).denominator == 1 for part in item.cations[: len(FORMERS)])
        assert sum(part > 0 for part in item.cations[len(FORMERS) :]) <= 4


def test_lithium_of_the_whole_set(every):
    lithium = np.array([100 * item.fractions["Li"] for item in every])
    assert lithium.max() == pytest.approx(100 * 0.4 / (1 + (0.6 * 3 + 0.4) / 2))  # all Al, all Li
    assert lithium.mean() == pytest.approx(1.96, abs=0.005)
    assert lithium.std() == pytest.approx(3.05, abs=0.005)
    assert int((lithium >= 15).sum()) == 27


@pytest.mark.parametrize("count", [60, 200, 801])
def test_cells_are_neutral_and_as_composed(every, count):
    random = np.random.default_rng(count)
    for k in random.choice(len(every), 200, replace=False):
        atoms = every[k].atoms(count)
        total = sum(atoms.values())
        assert sum(VALENCE[element] * n for element, n in atoms.items()) == 0
        assert abs(total - count) <= 15
        for element, fraction in every[k].fractions.items():
            assert (atoms[element] > 0) == (fraction > 0)
            assert atoms[element] / total == pytest.approx(fraction, abs=1.5 / count)


def test_known_glasses():
    assert named(Si=1).atoms(801) == dict.fromkeys(ELEMENTS, 0) | {"Si": 267, "O": 534}
    phosphate = named(P=1).atoms(210)
    assert (phosphate["P"], phosphate["O"]) == (60, 150)
    disilicate = named(Si=Fraction(1, 2), Li=Fraction(1, 2)).atoms(90)
    assert (disilicate["Li"], disilicate["Si"], disilicate["O"]) == (20, 20, 50)


def test_too_few_atoms():
    with pytest.raises(ValueError, match="too few"):
        named(Si=Fraction(6, 10), Li=Fraction(1, 10), K=Fraction(1, 10), Ca=Fraction(2, 10)).atoms(-60)


def test_lithium_rich_compositions_are_drawn_more_often(every):
    lithium = np.array([100 * item.fractions["Li"] for item in every])
    weights = sampling_weights(lithium, rich=12, share=0.25)
    assert weights.sum() == pytest.approx(1)
    assert weights[lithium > 12].sum() == pytest.approx(0.25)
    assert len(np.unique(weights)) == 2
