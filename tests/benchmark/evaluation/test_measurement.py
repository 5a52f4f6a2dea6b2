"""Relaxations in the measurement of single structures: what failed is not tried again, whatever its reason says."""

import numpy as np
import pytest

from amsbench.benchmark.datasets.definition import Measurement, RelaxationFailure, RelaxedStructure
from amsbench.benchmark.evaluation.measurement import MeasurementTask, measure_structure
from amsbench.metrics.potentials.potential import EvaluationFailed

NAMES = ("shear_modulus",)


@pytest.fixture
def relaxations(tiny_asio2, monkeypatch):
    """The structures that are relaxed, and a function that sets what a measurement returns."""
    definition = type(tiny_asio2.definition)
    relaxed = []

    def relax(self, atoms):
        relaxed.append(atoms)
        return RelaxedStructure(atoms=atoms, energy_per_atom=-6.6)

    monkeypatch.setattr(definition, "energy", lambda self, atoms: (-6.5, 0.1))
    monkeypatch.setattr(definition, "relax", relax)

    def measured(measurement, *, relaxes=True):
        monkeypatch.setattr(definition, "measure", lambda self, atoms, names: measurement)
        task = MeasurementTask(definition=tiny_asio2.definition, properties=NAMES, relaxes=relaxes)
        return measure_structure(task, tiny_asio2.atoms(0))

    return relaxed, measured


def test_a_failed_relaxation_is_not_tried_again(relaxations):
    relaxed, measured = relaxations
    reason = "no minimum"
    result = measured(
        Measurement(failures=dict.fromkeys(NAMES, reason), relaxed=RelaxationFailure(reason=reason))
    )
    assert relaxed == []
    assert result.relaxed is None
    assert np.isnan(result.row["relaxed_energy_per_atom"])
    assert np.isnan(result.row["relaxed_density"])
    assert result.row["shear_modulus_failure"] == reason


def test_the_reason_of_another_failure_does_not_prevent_a_relaxation(relaxations):
    relaxed, measured = relaxations
    result = measured(Measurement(failures=dict.fromkeys(NAMES, "no dielectric relaxation spectrum")))
    assert len(relaxed) == 1
    assert result.row["relaxed_energy_per_atom"] == -6.6


def test_a_relaxed_structure_of_the_measurement_is_taken(relaxations, tiny_asio2):
    relaxed, measured = relaxations
    minimum = RelaxedStructure(atoms=tiny_asio2.atoms(1), energy_per_atom=-6.7)
    result = measured(Measurement(values=dict.fromkeys(NAMES, 25.0), relaxed=minimum))
    assert relaxed == []
    assert result.relaxed is minimum.atoms
    assert result.row["relaxed_energy_per_atom"] == -6.7


def test_nothing_is_relaxed_where_it_is_not_needed(relaxations):
    relaxed, measured = relaxations
    result = measured(Measurement(values=dict.fromkeys(NAMES, 25.0)), relaxes=False)
    assert relaxed == []
    assert result.relaxed is None
    assert "relaxed_energy_per_atom" not in result.row


def test_a_relaxation_that_breaks_down_leaves_the_other_values(relaxations, tiny_asio2, monkeypatch):
    def relax(self, atoms):
        raise EvaluationFailed("the cell collapsed")

    _, measured = relaxations
    monkeypatch.setattr(type(tiny_asio2.definition), "relax", relax)
    result = measured(Measurement(values=dict.fromkeys(NAMES, 25.0)))
    assert result.relaxed is None
    assert result.row["shear_modulus"] == 25.0
    assert np.isnan(result.row["relaxed_energy_per_atom"])
