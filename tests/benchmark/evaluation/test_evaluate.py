"""Evaluation: what is known to be right scores right, failures are counted and charged."""

import time
from dataclasses import replace

import numpy as np
import pytest

from amsbench.benchmark.datasets.definition import Measurement
from amsbench.benchmark.evaluation import evaluate as evaluation
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference, reference_split
from amsbench.errors import AmsbenchError
from amsbench.metrics.potentials.potential import EvaluationFailed


@pytest.fixture
def reference(tiny_asio2, monkeypatch):
    """Labels stand for measurements: the 'modulus' of a structure is its density, and some fail."""
    definition = type(tiny_asio2.definition)

    def measure(self, atoms, names=None):
        if atoms.info.get("never_ends"):
            time.sleep(60)
        if atoms.info.get("fails"):
            return Measurement(failures=dict.fromkeys(names, "relaxation did not converge"))
        return Measurement(values={name: len(atoms) / atoms.get_volume() * 300 for name in names})

    monkeypatch.setattr(definition, "measure", measure)
    monkeypatch.setattr(definition, "energy", lambda self, atoms: (-6.5, 0.1))
    return Reference(tiny_asio2)


def frames_of(dataset, count):
    return [dataset.atoms(k) for k in range(count)]


def test_training_structures_score_near_the_floor(reference, tiny_asio2):
    found = evaluate_structures(frames_of(tiny_asio2, 16), reference).structural
    rdf = found.curves["rdf"]
    assert rdf.low <= rdf.rmsd <= rdf.high
    assert rdf.rmsd < 3 * rdf.floor + 1e-12
    assert rdf.ceiling > 3 * rdf.rmsd


def test_targets_that_are_met_have_no_error(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 10)
    truth = np.array([len(f) / f.get_volume() * 300 for f in frames])
    found = evaluate_structures(frames, reference, targets={"shear_modulus": truth}, curves=())
    errors = found.inverse_design["shear_modulus"]
    assert errors.mae == pytest.approx(0.0, abs=1e-12)
    assert errors.coverage == 100.0
    assert errors.spearman == pytest.approx(1.0)
    assert found.failures == {}
    assert found.structural is None


def test_failures_are_counted_and_charged(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 10)
    for frame in frames[:3]:
        frame.info["fails"] = True
    target = np.full(10, 25.0)
    found = evaluate_structures(frames, reference, targets={"shear_modulus": target}, curves=())
    errors = found.inverse_design["shear_modulus"]
    assert found.failures == {"shear_modulus": {"relaxation did not converge": 3}}
    assert errors.measured == 7
    assert errors.coverage == pytest.approx(70.0)
    mean = float(np.nanmean(tiny_asio2.split("train").properties[:, 0]))
    expected = (7 * errors.mae + 3 * abs(mean - 25.0)) / 10
    assert errors.penalised_mae == pytest.approx(expected)
    assert found.table["shear_modulus"].isna().sum() == 3


def test_substance(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 6)
    found = evaluate_structures(frames, reference, curves=()).descriptors
    silicon = np.mean([np.mean([s == "Si" for s in f.get_chemical_symbols()]) for f in frames])
    assert found["fraction_Si"] == pytest.approx(silicon)
    assert found["fraction_Si"] + found["fraction_O"] == pytest.approx(1.0)
    density = np.mean([f.get_masses().sum() / f.get_volume() * 1.66053906660 for f in frames])
    assert found["density"] == pytest.approx(density)


def test_formal_charges_tell_neutral_structures_and_how_far_the_others_are(tiny_asio2, monkeypatch):
    monkeypatch.setattr(type(tiny_asio2.definition), "formal_charges", {"Si": 4, "O": -2})
    reference = Reference(tiny_asio2)
    assert reference.descriptors()["neutral"] == 1.0
    assert reference.descriptors()["composition_distance"] == pytest.approx(0.0)
    frames = frames_of(tiny_asio2, 4)
    first = frames[0]
    lost = [k for k, symbol in enumerate(first.symbols) if symbol == "O"][:2]
    del first[lost]
    frames.append(first[:0])
    found = evaluate_structures(frames, reference, curves=())
    assert found.table["charge"].tolist() == [4, 0, 0, 0, 0]
    assert found.descriptors["neutral"] == 0.75
    assert found.descriptors["imbalance"] == pytest.approx(4 / len(first) / 4)
    silicon = np.mean(first.symbols == "Si") - 1 / 3
    assert found.descriptors["composition_distance"] == pytest.approx(silicon / 4)


def test_a_structure_without_atoms_fails_and_does_not_crash(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 3)
    frames[1] = frames[1][:0]
    found = evaluate_structures(frames, reference, targets={"ring_size": np.full(3, 5.0)}, curves=())
    assert found.failures == {
        "structure": {"has no atoms": 1},
        "ring_size": {"no atoms": 1},
        "energy": {"no atoms": 1},
    }


def test_a_structure_without_an_energy_is_counted(reference, tiny_asio2, monkeypatch):
    def collapsed(self, atoms):
        raise EvaluationFailed("the energy is not finite")

    monkeypatch.setattr(type(tiny_asio2.definition), "energy", collapsed)
    found = evaluate_structures(frames_of(tiny_asio2, 3), reference, curves=())
    assert found.failures == {"energy": {"the energy is not finite": 3}}
    assert found.descriptors["energy_per_atom"] is None


def test_a_measurement_that_never_ends_costs_its_structure_only(reference, tiny_asio2, monkeypatch):
    monkeypatch.setattr(evaluation, "MEASUREMENT_TIME_LIMIT", 0.5)
    frames = frames_of(tiny_asio2, 4)
    frames[2].info["never_ends"] = True
    found = evaluate_structures(frames, reference, targets={"ring_size": np.full(4, 5.0)}, curves=())
    assert found.failures == {name: {"it took longer than 0.5 s": 1} for name in ("ring_size", "energy")}
    assert found.inverse_design["ring_size"].coverage == 75.0
    assert list(found.table["atoms"]) == [len(frame) for frame in frames]


def test_mistakes(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 2)
    with pytest.raises(AmsbenchError, match="no property 'hardness'"):
        evaluate_structures(frames, reference, targets={"hardness": np.zeros(2)})
    with pytest.raises(AmsbenchError, match="no structures"):
        evaluate_structures([], reference)
    for frame in frames:
        frame.symbols[:2] = "Na"
    with pytest.raises(AmsbenchError, match=r"structure 0 has Na, .* none of the other 1 can be measured"):
        evaluate_structures(frames, reference)


def test_protocol_paper_compares_with_the_training_set(tiny_asi, monkeypatch):
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    train = [tiny_asi.atoms(int(k)) for k in tiny_asi.indices("train")]
    scores = evaluate_structures(train, Reference(tiny_asi, split=reference_split("paper"))).structural
    assert scores.reference == "train"
    assert scores.curves["rdf"].rmsd == pytest.approx(0.0, abs=1e-12)
    held_out = Reference(replace(tiny_asi), split=reference_split("quick"))
    assert evaluate_structures(train, held_out).structural.curves["rdf"].rmsd > 0


def test_further_metrics_are_measured_beside_the_standard_ones(reference, tiny_asio2):
    """One of mean curves and one of single structures, by their registered names alone."""
    frames = frames_of(tiny_asio2, 6)
    plain = evaluate_structures(frames, reference)
    more = evaluate_structures(frames, reference, curves=("rdf", "adf", "sq"), descriptors=("coordination",))
    assert list(more.structural.curves) == ["rdf", "adf", "sq"]
    assert more.structural.curves["rdf"] == plain.structural.curves["rdf"]
    assert more.structural.curves["sq"].rmsd < more.structural.curves["sq"].ceiling
    assert more.structural.curves["sq"].wasserstein is None
    bonds = [more.descriptors[name] for name in ("coordination_Si_O", "coordination_O_Si")]
    assert 0 < bonds[1] < bonds[0]  # half as many silicon as oxygen atoms share the same bonds
    assert more.table["coordination_O_Si"].mean() == pytest.approx(bonds[1])
    assert plain.descriptors.items() <= more.descriptors.items()


def test_metrics_of_the_wrong_kind_are_refused(reference, tiny_asio2):
    frames = frames_of(tiny_asio2, 2)
    with pytest.raises(AmsbenchError, match="'density' is not one of mean curves"):
        evaluate_structures(frames, reference, curves=("density",))
    with pytest.raises(AmsbenchError, match="unknown metric 'sqq'; did you mean 'sq'"):
        evaluate_structures(frames, reference, curves=("sqq",))
