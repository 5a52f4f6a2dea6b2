"""Scores of Boltzmann samples: forces over kT, kept beside the training, refused for glasses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import units

import amsbench
from amsbench.benchmark.datasets import boltzmann
from amsbench.benchmark.datasets.boltzmann import SCORES_FILE, boltzmann_scores
from amsbench.benchmark.interface.structures import ScoredStructures, add_ghosts
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.benchmark.training.options import TrainingOptions
from amsbench.benchmark.training.train import train_method
from amsbench.errors import AmsbenchError
from amsbench.methods.material_sde import MaterialSDE
from amsbench.metrics.potentials.configurational_temperature import (
    configurational_temperature,
    squared_forces_and_divergences,
)
from amsbench.metrics.potentials.lammps_calculator import LammpsCalculator

NETWORK = {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}
SETTINGS = {"network": NETWORK, "target_score": {"weight": 1.0}}
OPTIONS = TrainingOptions(samples_seen=8, batch_size=2, validate_every=4, validation_samples=4)


def test_liquid_silicon_has_its_temperature_in_its_positions():
    """<|F|^2> = -kT <div F>: the premise of the target score. The error of 60 snapshots is one percent."""
    dataset = amsbench.load_dataset("asi").split("train")
    definition = dataset.definition
    assert definition.sample_temperature == definition.simulation_recipe("reduced")["sample_temperature_k"]
    frames = [dataset.atoms(int(k)) for k in np.linspace(0, len(dataset) - 1, 60)]
    rows = squared_forces_and_divergences(definition.potential, frames, probes=2, seed=0)
    assert configurational_temperature(rows) == pytest.approx(definition.sample_temperature, rel=0.05)


def test_scores_are_forces_over_kt_and_are_computed_once(tiny_asi, tmp_path, monkeypatch):
    few = tiny_asi.subset(np.arange(3))
    scores = boltzmann_scores(few, tmp_path)
    with LammpsCalculator(few.definition.potential) as calculator:
        calculator.calculate(few.atoms(1))
        forces = calculator.results["forces"]
    count = few.counts[0]
    np.testing.assert_allclose(scores[count : 2 * count], forces / (units.kB * 2500), rtol=1e-4, atol=1e-4)

    def no_potential(dataset):
        raise AssertionError("the potential was evaluated again")

    monkeypatch.setattr(boltzmann, "_computed", no_potential)
    np.testing.assert_array_equal(boltzmann_scores(few, tmp_path), scores)
    with pytest.raises(AssertionError, match="again"):
        boltzmann_scores(replace(few, content_hash="other"), tmp_path)
    (tmp_path / SCORES_FILE).write_bytes(b"no scores")
    with pytest.raises(AmsbenchError, match=r"scores\.safetensors is damaged .* delete it"):
        boltzmann_scores(few, tmp_path)


def test_a_training_with_scores_is_recorded_and_resumes(tiny_asi, tmp_path, one_thread):
    batches = []
    honest = MaterialSDE.training_loss

    def watched(self, batch, noise, **settings):
        batches.append((self.training, isinstance(batch, ScoredStructures)))
        return honest(self, batch, noise, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaterialSDE, "training_loss", watched)
        train_method("material-sde", tiny_asi, output=tmp_path / "a", options=OPTIONS, config=SETTINGS)
    # validation losses have no scores, so that they compare with those of other trainings
    assert set(batches) == {(True, True), (False, False)}
    checkpoint = load_checkpoint(tmp_path / "a" / "last.safetensors")
    assert checkpoint.record["additions"] == ["target score matching (weight 1)"]

    def stop(progress):
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_method(
            "material-sde", tiny_asi, output=tmp_path / "b", options=OPTIONS, config=SETTINGS, report=stop
        )
    train_method("material-sde", tiny_asi, output=tmp_path / "b", options=OPTIONS, config=SETTINGS)
    again = load_checkpoint(tmp_path / "b" / "last.safetensors")
    assert again.content_hash == checkpoint.content_hash


@pytest.mark.parametrize("method", ["material-sde", "amshortcut"])
def test_glasses_have_no_target_score(tiny_asio2, tmp_path, method):
    with pytest.raises(AmsbenchError, match=r"'asio2' declares no temperature of equilibrium .*quenched"):
        train_method(method, tiny_asio2, output=tmp_path / "run", options=OPTIONS, config=SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("weight", [-0.5, 1.5])
def test_the_share_of_the_score_is_at_most_the_best(tiny_asi, tmp_path, weight):
    config = SETTINGS | {"target_score": {"weight": weight}}
    with pytest.raises(AmsbenchError, match=f"'target_score' is {weight}; give a number from 0"):
        train_method("material-sde", tiny_asi, output=tmp_path / "run", options=OPTIONS, config=config)


def test_ghosts_have_no_score(small_batch):
    structures = small_batch(2, 0)
    scored = ScoredStructures(
        **vars(structures), scores=structures.positions + 1, score_variance=torch.ones(2)
    )
    filled = add_ghosts(scored, 0.11, 2, torch.Generator().manual_seed(0))
    assert isinstance(filled, ScoredStructures)
    ghosts = filled.species == 2
    assert ghosts.any()
    assert not filled.scores[ghosts].any()
    torch.testing.assert_close(filled.scores[~ghosts], filled.positions[~ghosts] + 1)
