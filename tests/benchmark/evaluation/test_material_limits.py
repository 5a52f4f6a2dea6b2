"""Limits of a material: measured on a dataset, stored and read back, and applied to structures."""

from dataclasses import replace

import numpy as np
import pytest

from amsbench.benchmark.datasets.definition import RelaxedStructure
from amsbench.benchmark.datasets.storage import encode_structures
from amsbench.benchmark.evaluation import frozen_reference
from amsbench.benchmark.evaluation.freezing import freeze_reference
from amsbench.benchmark.evaluation.material_limits import (
    MaterialLimits,
    environment_classes,
    measure_material,
    typed_structure,
)
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.errors import AmsbenchError


@pytest.fixture
def silica(tiny_asio2, monkeypatch):
    """Energies that follow the density, and relaxations that change nothing."""
    definition = type(tiny_asio2.definition)

    def energy(atoms):
        return -6.5 + len(atoms) / atoms.get_volume()

    monkeypatch.setattr(definition, "energy", lambda self, atoms: (energy(atoms), 0.1))
    monkeypatch.setattr(
        definition,
        "relax",
        lambda self, atoms: RelaxedStructure(atoms=atoms, energy_per_atom=energy(atoms) - 0.04),
    )
    return tiny_asio2


@pytest.fixture
def material(silica):
    return measure_material(silica)


def rows(limits, **changed):
    """Columns of one structure in the middle of all limits."""
    silicon = 1 / 3
    values = {"fraction_Si": silicon, "fraction_O": 1 - silicon}
    fractions = np.array([[silicon, 1 - silicon, silicon * (1 - silicon)]])
    for name, model in limits.models.items():
        values[name] = float((fractions @ np.array(model.coefficients))[0])
    return {name: np.array([value]) for name, value in (values | changed).items()}


def test_limits_are_those_of_the_data(material, silica):
    limits = material.limits
    assert set(limits.models) == {
        "energy_per_atom",
        "density",
        "relaxed_energy_per_atom",
        "relaxed_density",
    }
    train = silica.split("train")
    energies = -6.5 + train.counts / np.abs(np.linalg.det(train.cells))
    assert limits.models["energy_per_atom"].deviation == pytest.approx(energies.std(), rel=0.15)
    assert limits.composition_distance == 0.02
    assert limits.formal_charges is None
    assert len(material.structures) == len(train)
    assert 0.5 < limits.overlap <= 1.0
    assert limits.held_out_overlap == pytest.approx(2 * limits.overlap - 1)


def test_a_structure_in_the_middle_of_the_data_is_of_the_substance(material):
    assert material.limits.right_substance(rows(material.limits)).tolist() == [True]


@pytest.mark.parametrize("name", ["relaxed_energy_per_atom", "relaxed_density"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_energy_and_density_have_limits_on_both_sides(material, name, sign):
    limits = material.limits
    middle, width = float(rows(limits)[name][0]), limits.models[name].deviation
    for deviation, within in ((2.9, True), (3.1, False)):
        changed = rows(limits, **{name: middle + sign * deviation * width})
        assert limits.right_substance(changed).tolist() == [within]
        assert limits.deviations(changed)[f"{name}_deviation"][0] == pytest.approx(sign * deviation, abs=1e-6)


def test_without_a_relaxed_structure_the_generated_one_is_judged(material):
    limits = material.limits
    plain = {name: values for name, values in rows(limits).items() if not name.startswith("relaxed")}
    assert limits.right_substance(plain).tolist() == [True]
    plain["density"] = plain["density"] * 2
    assert limits.right_substance(plain).tolist() == [False]


def test_a_structure_without_an_energy_is_outside_of_the_limits(material):
    unrelaxed = rows(material.limits, relaxed_energy_per_atom=np.nan)
    assert material.limits.right_substance(unrelaxed).tolist() == [False]


@pytest.mark.parametrize(("silicon", "within"), [(0.3334, True), (0.35, True), (0.36, False), (0.30, False)])
def test_compositions_are_within_two_percent(material, silicon, within):
    changed = rows(material.limits, fraction_Si=silicon, fraction_O=1 - silicon)
    wide = {name: replace(model, deviation=1e9) for name, model in material.limits.models.items()}
    limits = replace(material.limits, models=wide)
    assert limits.right_substance(changed).tolist() == [within]


def test_charged_structures_are_not_of_a_neutral_substance(material):
    limits = replace(material.limits, formal_charges=(4, -2), composition_distance=1.0, models={})
    assert limits.right_substance(rows(limits)).tolist() == [True]
    charged = rows(limits, fraction_Si=0.34, fraction_O=0.66)
    assert limits.right_substance(charged).tolist() == [False]


def test_limits_survive_json(material):
    import json

    text = json.dumps(material.limits.to_json(), allow_nan=False)
    assert MaterialLimits.from_json(json.loads(text)) == material.limits


def test_the_limits_of_other_data_are_not_used(silica, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_reference, "FROZEN", tmp_path)
    limits = replace(measure_material(silica).limits, held_out_overlap=0.123)
    packed = encode_structures(list(silica), silica.definition.elements)
    freeze_reference(silica, limits, packed, {}).write(tmp_path / "asio2.npz")
    assert Reference(silica).material(relaxed=True).limits.held_out_overlap == 0.123
    changed = replace(silica, content_hash="1" * 64)
    assert Reference(changed).material(relaxed=True).limits.held_out_overlap != 0.123


def test_without_targets_nothing_is_relaxed(silica, monkeypatch):
    monkeypatch.setattr(type(silica.definition), "relax", None)
    limits = Reference(silica).material(relaxed=False).limits
    assert set(limits.models) == {"energy_per_atom", "density"}


def test_classes_of_elements_follow_their_charges():
    assert environment_classes(("Si", "O"), None) == (0, 1)
    assert environment_classes(("Si",), None) == (0,)
    assert environment_classes(("Li", "F"), {"Li": 1, "F": -1}) == (0, 1)


def test_foreign_elements_have_no_number(silica):
    atoms = silica.atoms(0)
    atoms.symbols[0] = "Na"
    with pytest.raises(AmsbenchError, match="has Na, which is not among the elements Si, O"):
        typed_structure(atoms, ("Si", "O"))
