"""Metrics of single structures on crystals, whose values are known."""

from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from amsbench.errors import AmsbenchError
from amsbench.metrics.potentials.potential import EvaluationFailed
from amsbench.metrics.structure_metrics import (
    AtomCount,
    Coordination,
    ElementFractions,
    FormalCharge,
    MassDensity,
    PotentialEnergy,
    ShortestDistance,
)

SILICON = SimpleNamespace(elements=("Si",), formal_charges=None, potential=None)
SILICA = SimpleNamespace(
    elements=("Si", "O"), formal_charges={"Si": 4, "O": -2}, potential=None, energy=lambda atoms: (-6.5, 0.2)
)


@pytest.fixture(scope="module")
def cristobalite():
    """Ideal beta-cristobalite: silicon as diamond, an oxygen atom in the middle of every bond of 3.1 A."""
    return crystal(
        ["Si", "O"], [(0, 0, 0), (1 / 8, 1 / 8, 1 / 8)], spacegroup=227, cellpar=[7.16] * 3 + [90] * 3
    )


def test_cristobalite(cristobalite):
    values = {}
    for metric in (AtomCount(), MassDensity(), ShortestDistance(), ElementFractions(), FormalCharge()):
        measured = metric.measure(cristobalite, SILICA)
        assert set(measured) == {quantity.name for quantity in metric.quantities(SILICA)}
        values |= measured
    assert values["atoms"] == 24
    assert values["density"] == pytest.approx(8 * 60.084 / 0.602214 / 7.16**3, rel=1e-4)
    assert values["minimum_distance"] == pytest.approx(7.16 * np.sqrt(3) / 8)
    assert values["fraction_Si"] == pytest.approx(1 / 3)
    assert values["charge"] == 0


def test_coordination_of_cristobalite_and_diamond(cristobalite):
    values = Coordination().measure(cristobalite, SILICA)
    assert values == {
        "coordination_Si_Si": 0.0,
        "coordination_Si_O": 4.0,
        "coordination_O_Si": 2.0,
        "coordination_O_O": 0.0,
    }
    assert Coordination().measure(bulk("Si", "diamond", a=5.43), SILICON) == {"coordination_Si_Si": 4.0}
    alone = Coordination().measure(Atoms("Si", cell=[9] * 3, pbc=True), SILICA)
    assert alone["coordination_Si_O"] == 0.0
    assert np.isnan(alone["coordination_O_Si"])


def test_one_element_has_no_composition_and_no_charge():
    atoms = bulk("Si", "diamond", a=5.43)
    assert ElementFractions().measure(atoms, SILICON) == {}
    assert ElementFractions().quantities(SILICON) == ()
    assert FormalCharge().measure(atoms, SILICON) == {}


def test_summaries_leave_out_what_was_not_measured():
    density = MassDensity().summary({"density": np.array([2.0, np.nan, 2.4])}, SILICA)
    assert density == {"density": pytest.approx(2.2), "density_std": pytest.approx(0.2)}
    energy = {"energy_per_atom": np.array([-6.0, -6.4, 1e6]), "largest_force": np.full(3, np.nan)}
    assert PotentialEnergy().summary(energy, SILICA) == {"energy_per_atom": -6.0, "largest_force": None}
    charges = {"atoms": np.array([9.0, 10.0, 0.0]), "charge": np.array([0.0, -2.0, 0.0])}
    assert FormalCharge().summary(charges, SILICA) == {"neutral": 0.5, "imbalance": pytest.approx(0.1)}


def test_what_cannot_be_measured_says_why():
    empty = Atoms(cell=[5] * 3, pbc=True)
    with pytest.raises(EvaluationFailed, match="no atoms"):
        PotentialEnergy().measure(empty, SILICA)
    assert PotentialEnergy().measure(bulk("Si"), SILICA) == {"energy_per_atom": -6.5, "largest_force": 0.2}
    assert np.isnan(ShortestDistance().measure(empty, SILICA)["minimum_distance"])
    with pytest.raises(AmsbenchError, match="without volume"):
        MassDensity().measure(Atoms("Si", pbc=True), SILICON)
