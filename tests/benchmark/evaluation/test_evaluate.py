"""Evaluation: what is known to be right scores right, failures are counted and charged."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ase import Atoms

from amsbench.benchmark.datasets.definition import Measurement, RelaxedStructure
from amsbench.benchmark.evaluation import measurement
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.evaluation.report import report_lines
from amsbench.benchmark.interface.evaluation_plan import reference_split
from amsbench.benchmark.registry import load_metric
from amsbench.benchmark.system.compact_structures import CompactFrames, on_grid
from amsbench.errors import AmsbenchError
from amsbench.metrics.metric import CurveMetric
from amsbench.metrics.potentials.potential import EvaluationFailed


@pytest.fixture
def reference(tiny_asio2, monkeypatch):
    """Labels stand for measurements: the 'modulus' of a structure is its density, and some fail."""
    definition = type(tiny_asio2.definition)

    def measure(self, atoms, names=None):
        if atoms.info.get("never_ends"):
            while True:
                pass
        if atoms.info.get("fails"):
            return Measurement(failures=dict.fromkeys(names, "relaxation did not converge"))
        return Measurement(values={name: len(atoms) / atoms.get_volume() * 300 for name in names})

    monkeypatch.setattr(definition, "measure", measure)
    monkeypatch.setattr(definition, "energy", lambda self, atoms: (energy_of(atoms), 0.1))
    monkeypatch.setattr(
        definition,
        "relax",
        lambda self, atoms: RelaxedStructure(atoms=atoms, energy_per_atom=energy_of(atoms)),
    )
    return Reference(tiny_asio2)


def energy_of(atoms):
    """Stands for the energy: -6.5 eV per atom, with some spread between structures of the data."""
    return -6.5 + atoms.info.get("hot", 0.0) + 0.1 * len(atoms) / atoms.get_volume()


def frames_of(dataset, count):
    return [dataset.atoms(k) for k in range(count)]


@pytest.mark.parametrize("broken", [False, True])
def test_how_structures_are_kept_changes_no_number(reference, tiny_asio2, broken):
    frames = [on_grid(atoms) for atoms in frames_of(tiny_asio2, 6)]
    if broken:
        frames[2].positions[0, 1] = np.nan
    compact, kept = CompactFrames(), CompactFrames()
    compact.extend(frames)
    expected = evaluate_structures(frames, reference)
    for given in (compact, iter(frames)):
        found = evaluate_structures(given, reference, kept=kept)
        pd.testing.assert_frame_equal(found.table, expected.table)
        assert found.structural == expected.structural
        assert found.descriptors == expected.descriptors
    assert len(kept) == len(frames)


def test_training_structures_score_near_the_floor(reference, tiny_asio2):
    found = evaluate_structures(frames_of(tiny_asio2, 16), reference).structural
    rdf = found.curves["rdf"]
    assert rdf.low <= rdf.rmsd <= rdf.high
    assert rdf.rmsd < 3 * rdf.floor + 1e-12
    assert rdf.ceiling > 3 * rdf.rmsd


def test_the_table_has_the_part_of_each_structure_in_the_squared_errors(reference, tiny_asio2):
    """The square of the RMSD is their mean and the sampling noise of the mean curve."""
    frames = frames_of(tiny_asio2, 12)
    frames.insert(3, Atoms("Si2", np.full((2, 3), np.nan), cell=8 * np.eye(3), pbc=True))
    evaluation = evaluate_structures(frames, reference)
    for name in ("rdf", "adf"):
        parts = evaluation.table[f"{name}_squared_error"].to_numpy()
        assert np.flatnonzero(np.isnan(parts)).tolist() == [3]
        curves = load_metric(name, CurveMetric).curves([f for k, f in enumerate(frames) if k != 3]).values
        noise = (curves.var(axis=0, ddof=1) / 12).mean()
        assert np.nanmean(parts) + noise == pytest.approx(evaluation.structural.curves[name].rmsd ** 2)


def test_a_single_structure_has_no_interval(reference, tiny_asio2):
    evaluation = evaluate_structures(frames_of(tiny_asio2, 1), reference)
    for scores in evaluation.structural.curves.values():
        assert scores.low is scores.high is None
    assert "interval" not in "".join(line for line in report_lines(evaluation) if "RMSD" in line)
    several = evaluate_structures(frames_of(tiny_asio2, 3), reference)
    assert any("95 % interval" in line for line in report_lines(several))


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
    labels = tiny_asio2.split("train").properties[:, 0]
    worst = float(np.nanmax(np.abs(labels - 25.0)))
    measured = np.minimum(np.abs(found.table["shear_modulus"].dropna() - 25.0), worst)
    expected = (measured.sum() + 3 * worst) / 10
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
    monkeypatch.setattr(measurement, "MEASUREMENT_TIME_LIMIT", 0.5)
    frames = frames_of(tiny_asio2, 4)
    frames[2].info["never_ends"] = True
    found = evaluate_structures(frames, reference, targets={"ring_size": np.full(4, 5.0)}, curves=())
    reason = "it took longer than 0.5 s of processor time"
    assert found.failures == {name: {reason: 1} for name in ("ring_size", "energy")}
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


def test_curves_of_other_materials_are_left_out(reference, tiny_asio2):
    names = ("rdf_former_anion", "rdf_modifier_anion", "coordination_former_former")
    scores = evaluate_structures(frames_of(tiny_asio2, 4), reference, curves=names).structural
    assert list(scores.curves) == ["rdf_former_anion"]
    assert evaluate_structures(frames_of(tiny_asio2, 4), reference, curves=names[1:]).structural is None


def test_structures_without_bonds_are_scored_and_have_no_distance(reference, tiny_asio2):
    frames = [Atoms("SiO2", positions=np.eye(3) * 8, cell=[16] * 3, pbc=True) for _ in range(3)]
    names = ("adf", "adf_anion_former_anion", "qn", "ring_sizes", "rdf_former_anion")
    curves = evaluate_structures(frames, reference, curves=names).structural.curves
    assert list(curves) == list(names)
    assert curves["adf_anion_former_anion"].wasserstein is None
    assert curves["adf_anion_former_anion"].rmsd > 0
    assert curves["qn"].wasserstein > 0  # all silicon is Q0


def test_a_reference_of_one_melt_has_a_noise_floor(tiny_asi, monkeypatch):
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    groups = tiny_asi.groups.copy()
    groups[tiny_asi.indices("test")] = groups[-1]
    one_melt = replace(tiny_asi, groups=groups)
    frames = frames_of(tiny_asi, 8)
    alone, separate = (
        evaluate_structures(frames, Reference(dataset)).structural.curves["rdf"]
        for dataset in (one_melt, tiny_asi)
    )
    # a melt says less about the mean than as many independent structures
    assert alone.rmsd == separate.rmsd
    assert alone.floor > 0.8 * separate.floor


def test_the_floor_of_the_training_set_does_not_vanish(tiny_asi, monkeypatch):
    """With as many structures as there are, and with more."""
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    reference = Reference(tiny_asi, split="train")
    floors = [
        evaluate_structures(frames_of(tiny_asi, 16) * times, reference).structural.curves["rdf"].floor
        for times in (1, 2, 3)
    ]
    # s^2 / n + s^2 / 16 for independent structures
    assert floors[0] > floors[1] > floors[2] > 0
    assert floors[1] / floors[0] == pytest.approx((1.5 / 2) ** 0.5)
