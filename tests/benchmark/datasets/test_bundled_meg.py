"""Bundled multi-element glasses: compositions, chemistry, moduli and lithium as documented."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from amsbench.benchmark.datasets import inspection
from amsbench.benchmark.datasets.meg_compositions import VALENCE, compositions
from amsbench.benchmark.datasets.storage import bundled_path, load_dataset
from amsbench.benchmark.evaluation.descriptor_means import element_fractions


@pytest.fixture(scope="module")
def meg():
    return load_dataset("meg")


def test_every_glass_is_neutral_and_of_one_of_the_compositions(meg):
    assert inspection.verify(bundled_path("meg"))["samples"] == len(meg)
    assert len(meg) >= 200
    assert meg.counts.min() >= 200
    known = np.array([list(item.fractions.values()) for item in compositions()])
    fractions = element_fractions(meg)
    assert np.abs(fractions @ list(VALENCE.values())).max() < 1e-12
    # whole atoms round every share by one atom in some 210 at most
    off = np.abs(known[None] - fractions[:, None]).max(-1).min(1)
    assert off.max() < 1.1 / 200
    assert (fractions > 0).any(0).all()
    assert (fractions > 0).sum(0).min() >= 30  # every element is in many


def test_lithium_goes_from_none_to_sixteen_percent(meg):
    lithium = meg.properties[:, meg.property_names.index("li_concentration")]
    assert lithium == pytest.approx(
        100 * element_fractions(meg)[:, meg.definition.elements.index("Li")], abs=1e-4
    )
    assert (lithium == 0).sum() >= 30
    assert (lithium > 12).sum() >= 30
    assert np.histogram(lithium, [0.1, 4, 6, 8, 9, 10, 11, 12, 13, 20])[0].min() >= 4  # no gap on the way
    assert lithium.max() > 15


def test_the_provenance_names_the_recipe_and_the_oversampling(meg):
    known = inspection.info(meg)["provenance"]
    assert known["recipe"] == "reduced"
    assert known["protocol"]["lithium_rich_share"] == 0.2
    assert known["protocol"]["quench_k_per_ps"] == 100.0


@pytest.mark.parametrize(("former", "reach"), [("Si", 2.2), ("P", 2.1)])
def test_formers_are_tetrahedral(meg, former, reach):
    """Nearly every Si and P has four oxygen neighbours, as in all such glasses."""
    around = []
    for k in meg.indices("test"):
        atoms = meg.atoms(int(k))
        i = neighbor_list("i", atoms, {(former, "O"): reach})
        centre = atoms.symbols[i] == former
        around += np.bincount(i[centre], minlength=len(atoms))[atoms.symbols == former].tolist()
    assert len(around) > 200
    assert np.mean(np.array(around) == 4) > 0.9


def test_moduli_are_those_of_glasses(meg):
    young, shear, _ = meg.properties.T
    assert np.isfinite(young).mean() > 0.95
    assert 60 < np.nanmean(young) < 90
    measured = np.isfinite(young) & np.isfinite(shear)
    ratio = young[measured] / shear[measured]
    # Poisson's ratio between 0.1 and 0.4; glasses of 216 atoms are not quite isotropic
    assert 2.2 < np.median(ratio) < 2.8
    assert np.corrcoef(young[measured], shear[measured])[0, 1] > 0.85


def test_a_label_is_what_the_calculators_give(meg):
    """Labels are reproduced from the stored coordinates, which are rounded to 16 bits."""
    row = int(np.flatnonzero(np.isfinite(meg.properties).all(1))[0])
    found = meg.definition.measure(meg.atoms(row))
    assert found.failures == {}
    for name, stored in zip(meg.property_names, meg.properties[row], strict=True):
        assert found.values[name] == pytest.approx(stored, rel=0.05)
