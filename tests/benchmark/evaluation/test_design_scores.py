"""An adversary's answers to requests for silica glass: honest ones are hits, cheats are not."""

import numpy as np
import pandas as pd
import pytest

from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.evaluation.descriptor_means import structure_row
from amsbench.benchmark.evaluation.design_scores import judge_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.metrics.descriptors import has_overlap

COUNT = 6


@pytest.fixture(scope="module")
def silica():
    return load_dataset("asio2")


@pytest.fixture(scope="module")
def reference(silica):
    return Reference(silica)


@pytest.fixture(scope="module")
def honest(silica):
    """Glasses that no training has seen, as a perfect generator would make them."""
    held_out = silica.split("test")
    labelled = np.flatnonzero(np.isfinite(held_out.properties).all(axis=1))[:COUNT]
    return [held_out.atoms(int(k)) for k in labelled]


def judged(reference, frames, obtained=None, targets=None, relaxed=None):
    """Judgement of answers whose modulus was measured as ``obtained``; by default it is the label, and the target."""
    definition = reference.definition
    obtained = [atoms.info["shear_modulus"] for atoms in frames] if obtained is None else obtained
    targets = obtained if targets is None else targets
    rows, minima = [], []
    for atoms, value in zip(frames, obtained, strict=True):
        row = structure_row(atoms, definition) | {"shear_modulus": value}
        minimum = None if has_overlap(atoms) or relaxed is False else definition.relax(atoms)
        row["relaxed_energy_per_atom"] = np.nan if minimum is None else minimum.energy_per_atom
        volume = np.nan if minimum is None else minimum.atoms.get_volume()
        row["relaxed_density"] = 1.66053906660 * atoms.get_masses().sum() / volume
        rows.append(row)
        minima.append(None if minimum is None else minimum.atoms)
    return judge_structures(
        pd.DataFrame(rows),
        frames,
        minima,
        np.ones(len(frames), dtype=bool),
        reference.material(relaxed=True),
        {"shear_modulus": np.asarray(targets, dtype=float)},
        {"shear_modulus": reference.labels("shear_modulus")},
    )


def moved(atoms, jitter, seed=0):
    """A copy that is shifted, rotated and displaced, without labels."""
    rng = np.random.default_rng(seed)
    copy = atoms.copy()
    copy.positions += jitter * rng.normal(size=copy.positions.shape) + 3.0
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    copy.set_cell(copy.cell.array @ rotation.T)
    copy.positions = copy.positions @ rotation.T
    copy.wrap()
    return copy


def test_unseen_glasses_at_their_targets_are_hits(reference, honest):
    result = judged(reference, honest)
    assert result.hits.hits == COUNT
    assert result.summary["copies"] == result.summary["duplicates"] == 0.0
    assert result.summary["right_substance"] == 1.0
    assert abs(result.summary["relaxed_energy_per_atom_deviation"]) < 1.5


@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.1])
def test_copies_of_training_glasses_are_no_hits(reference, silica, jitter):
    train = silica.split("train")
    labelled = np.flatnonzero(np.isfinite(train.properties).all(axis=1))[:COUNT]
    copies = [moved(train.atoms(int(k)), jitter, seed=int(k)) for k in labelled]
    result = judged(reference, copies, obtained=train.properties[labelled, 0])
    assert result.hits.novel == result.hits.hits == 0
    assert result.summary["copies"] == 1.0


def test_displaced_copies_that_relax_back_are_no_hits(reference, silica):
    # displaced by so much that the copy itself may pass, but a modulus is that of the relaxed structure
    train = silica.split("train")
    copies = [moved(train.atoms(k), 0.2, seed=k) for k in range(COUNT)]
    result = judged(reference, copies, obtained=np.full(COUNT, 23.0))
    assert result.hits.hits == 0


def test_one_glass_many_times_is_one_hit(reference, honest):
    first = honest[0]
    answers = [first, *(moved(first, 0.02, seed=k) for k in range(1, COUNT))]
    result = judged(reference, answers, obtained=np.full(COUNT, first.info["shear_modulus"]))
    assert result.hits.hits == 1
    assert result.columns["duplicate_of"].tolist() == [-1] + [0] * (COUNT - 1)


def test_displaced_answers_that_relax_to_one_glass_are_one_hit(reference, honest):
    first = honest[0]
    answers = [first, *(moved(first, 0.2, seed=k) for k in range(1, 4))]
    result = judged(reference, answers, obtained=np.full(4, first.info["shear_modulus"]))
    assert result.hits.hits <= 1
    assert (result.columns["duplicate_of"][1:] >= 0).any()


def test_answering_the_mean_and_refusing_the_rest_is_worth_the_answers_near_the_mean(reference, honest):
    mean = reference.labels("shear_modulus").mean
    tolerance = 0.5 * reference.labels("shear_modulus").standard_deviation
    targets = mean + tolerance * np.array([0.0, 0.9, -0.9, 1.1, 3.0, -3.0])
    answered = np.full(COUNT, mean)
    every = judged(reference, honest, obtained=answered, targets=targets)
    refusing = judged(
        reference, honest, obtained=np.where(np.arange(COUNT) < 3, mean, np.nan), targets=targets
    )
    assert every.hits.hits == refusing.hits.hits == 3
    assert refusing.hits.share == 0.5
    assert (every.hits.measured, refusing.hits.measured) == (COUNT, 3)


def test_another_substance_at_the_right_target_is_no_hit(reference, honest):
    dense = honest[0].copy()
    dense.set_cell(0.9 * dense.cell.array, scale_atoms=True)
    without_oxygen = honest[1].copy()
    del without_oxygen[[k for k, symbol in enumerate(without_oxygen.symbols) if symbol == "O"][:20]]
    result = judged(reference, [dense, without_oxygen], obtained=[23.0, 23.0])
    assert result.columns["right_substance"].tolist()[1] is False
    assert abs(result.columns["density_deviation"][0]) > 3
    unrelaxed = judged(reference, [dense], obtained=[23.0], relaxed=False)
    assert unrelaxed.hits.right_substance == unrelaxed.hits.hits == 0


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_hot_and_cold_structures_are_no_hits(reference, honest, monkeypatch, shift):
    """The right structure at another energy, such as a crystal or an unrelaxed melt with the g(r) of the glass."""
    definition = type(reference.definition)
    relax = definition.relax

    def other_energy(self, atoms):
        minimum = relax(self, atoms)
        return type(minimum)(atoms=minimum.atoms, energy_per_atom=minimum.energy_per_atom + shift)

    monkeypatch.setattr(definition, "relax", other_energy)
    result = judged(reference, honest[:2])
    assert result.hits.right_substance == result.hits.hits == 0
    assert np.sign(result.summary["relaxed_energy_per_atom_deviation"]) == np.sign(shift)


def test_a_structure_that_misses_its_target_is_no_hit(reference, honest):
    tolerance = 0.5 * reference.labels("shear_modulus").standard_deviation
    obtained = np.array([atoms.info["shear_modulus"] for atoms in honest])
    off = tolerance * np.array([0.99, -0.99, 1.01, -1.01, 4.0, 0.0])
    result = judged(reference, honest, obtained=obtained, targets=obtained + off)
    assert result.columns["within_tolerance"].tolist() == [True, True, False, False, False, True]
    assert result.hits.hits == 3
    assert result.hits.tolerance == {"shear_modulus": pytest.approx(tolerance)}


def test_without_targets_there_are_no_hits(reference, honest):
    rows = pd.DataFrame([structure_row(atoms, reference.definition) for atoms in honest])
    usable = np.array([True] * (COUNT - 1) + [False])
    result = judge_structures(rows, honest, [None] * COUNT, usable, reference.material(relaxed=True), {}, {})
    assert result.hits is None
    assert np.isnan(result.columns["largest_overlap"]).tolist() == [False] * (COUNT - 1) + [True]
