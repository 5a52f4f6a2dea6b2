"""Structures that no metric can measure are counted; all others are measured, however unphysical."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from amsbench.benchmark.datasets.asi import AmorphousSilicon
from amsbench.benchmark.evaluation import measurement
from amsbench.benchmark.evaluation.evaluate import evaluate_structures
from amsbench.benchmark.evaluation.reference import Reference
from amsbench.benchmark.evaluation.unmeasurable import CROWD, unmeasurable
from amsbench.benchmark.execution.time_limits import TaskLost

SILICON = AmorphousSilicon()


def gas(count, edge=20.0, spread=None, seed=0):
    """Random atoms in a cube, or in a corner of it."""
    positions = np.random.default_rng(seed).random((count, 3)) * (spread or edge)
    return Atoms(f"Si{count}", positions=positions, cell=[edge] * 3, pbc=True)


def skewed(atoms):
    cell = atoms.cell.array.copy()
    cell[2] += 0.9 * cell[0] + 0.9 * cell[1]
    atoms.set_cell(cell, scale_atoms=True)
    return atoms


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Si", cubic=True) * (6, 6, 6),
        bulk("Si", a=3.0, crystalstructure="fcc", cubic=True) * (5, 5, 5),
        gas(2000),
        skewed(gas(2000)),
        gas(CROWD, spread=1e-3),
        Atoms(cell=[5, 5, 5], pbc=True),
        gas(20, edge=3.0),
    ],
)
def test_dense_random_and_empty_structures_are_usable(atoms):
    assert unmeasurable(atoms, SILICON) is None


@pytest.mark.parametrize("shift", [0.0, 11.0, -1e4])
@pytest.mark.parametrize("shear", [False, True])
def test_a_clump_of_atoms(shift, shear):
    atoms = gas(3000, spread=1.0)
    atoms.positions += shift
    assert (
        unmeasurable(skewed(atoms) if shear else atoms, SILICON)
        == f"has more than {CROWD} atoms in one place"
    )


def test_bad_structures_are_left_out_of_all_means(tiny_asi, monkeypatch):
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    frames = [tiny_asi.atoms(k) for k in range(6)]
    bad = [frames[0].copy(), frames[1].copy()]
    bad[0].positions[:] = np.nan
    bad[1].positions[0] = np.inf
    reference = Reference(tiny_asi)
    plain = evaluate_structures(frames, reference)
    more = evaluate_structures([bad[0], *frames, bad[1]], reference)
    assert more.structural == plain.structural
    assert more.descriptors == plain.descriptors
    assert more.failures["structure"] == {"has positions or a cell that are not finite numbers": 2}
    assert len(more.table) == 8


def test_inverse_design_counts_bad_structures_as_not_measured(tiny_asio2, monkeypatch):
    monkeypatch.setattr(type(tiny_asio2.definition), "potential", None)
    frames = [tiny_asio2.atoms(k) for k in range(3)]
    for atoms in frames:
        atoms.positions[:] = np.nan
    found = evaluate_structures(
        frames, Reference(tiny_asio2), targets={"ring_size": np.full(3, 5.0)}, curves=()
    )
    assert found.inverse_design["ring_size"].coverage == 0.0
    assert found.failures["ring_size"] == {"has positions or a cell that are not finite numbers": 3}
    assert found.descriptors["density"] is None


def test_a_structure_that_crashes_its_worker_is_not_measured_in_this_process(tiny_asi, monkeypatch):
    frames = [tiny_asi.atoms(k) for k in range(3)]
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    mapped = measurement.map_with_timeout

    def crashing(*arguments, **options):
        for k, row in enumerate(mapped(*arguments, **options)):
            yield TaskLost("its process crashed (SIGSEGV)", crashed=True) if k == 1 else row

    monkeypatch.setattr(measurement, "map_with_timeout", crashing)
    found = evaluate_structures(frames, Reference(tiny_asi))
    monkeypatch.undo()
    monkeypatch.setattr(type(tiny_asi.definition), "energy", lambda self, atoms: (-4.0, 0.1))
    others = evaluate_structures([frames[0], frames[2]], Reference(tiny_asi))
    assert found.structural == others.structural
    assert found.failures == {"structure": {"its process crashed (SIGSEGV)": 1}}
