"""Generation: batches, seeds, cells, targets."""

import threading

import numpy as np
import pytest
import torch

import amsbench
from amsbench.benchmark.generation import batches
from amsbench.benchmark.generation.cells import cell_matrix
from amsbench.benchmark.generation.generate import generate_structures, outside_training_range
from amsbench.errors import AmsbenchError
from amsbench.methods.material_sde import MaterialSDE


@pytest.fixture
def method(silica):
    torch.manual_seed(0)
    config = MaterialSDE.default_config("standard", silica)
    config["network"] |= {"hidden": 32, "layers": 2, "cutoff": 4.0}
    return MaterialSDE(silica, config)


CELLS = np.tile(np.eye(3) * 8.0, (5, 1, 1))
COUNTS = np.array([40, 45, 50, 55, 56])


def test_batches_do_not_change_the_samples(method, monkeypatch):
    whole = generate_structures(method, cells=CELLS, counts=COUNTS, steps=3, sampler="ancestral", seed=4)
    monkeypatch.setitem(batches.ATOMS_PER_BATCH, "cpu", 60)
    single = generate_structures(method, cells=CELLS, counts=COUNTS, steps=3, sampler="ancestral", seed=4)
    for one, two in zip(whole.frames, single.frames, strict=True):
        assert one.get_chemical_symbols() == two.get_chemical_symbols()
        shift = one.get_scaled_positions() - two.get_scaled_positions()
        assert np.abs(shift - shift.round()).max() < 1e-3
    assert whole.evaluations == 3
    assert whole.seconds > 0


def test_threads_do_not_change_the_samples(method, monkeypatch):
    monkeypatch.setitem(batches.ATOMS_PER_BATCH, "cpu", 60)
    before, threads = torch.get_num_threads(), set()
    sample = type(method).sample

    def watched(self, *arguments):
        threads.add((threading.get_ident(), torch.get_num_threads()))
        return sample(self, *arguments)

    monkeypatch.setattr(type(method), "sample", watched)
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            parts = []
            made = generate_structures(
                method, cells=CELLS, counts=COUNTS, steps=3, sampler="ancestral", seed=4, sink=parts.append
            )
            assert [frame for part in parts for frame in part] == made.frames
            assert torch.get_num_threads() == count
            found.append(made)
        threads.remove((threading.get_ident(), 3))  # the warm-up
        assert {number for _, number in threads} == {1}
        assert len({who for who, _ in threads}) > 1
    finally:
        torch.set_num_threads(before)
    for one, two in zip(found[0].frames, found[1].frames, strict=True):
        assert one.get_chemical_symbols() == two.get_chemical_symbols()
        shift = one.get_scaled_positions() - two.get_scaled_positions()
        assert np.abs(shift - shift.round()).max() < 1e-3
    assert found[1].seconds > 0


@pytest.mark.parametrize("name", ["amshortcut", "cdvae", "graphite", "material-ode", "mattergen"])
def test_cores_change_no_bit(name):
    """Batches are those of the request, whatever the number of cores, and threads do not reorder sums in a batch."""
    method = amsbench.load_method(name, dataset="asio2")
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(amsbench.generate(method, count=4, steps=2, cell=11.0, seed=2))
    finally:
        torch.set_num_threads(before)
    for frames in found[1:]:
        for one, two in zip(found[0], frames, strict=True):
            np.testing.assert_array_equal(one.numbers, two.numbers)
            np.testing.assert_array_equal(one.positions, two.positions)


def test_devices_share_the_batches_and_change_no_bit(method, monkeypatch):
    monkeypatch.setitem(batches.ATOMS_PER_BATCH, "cpu", 60)
    used = set()
    sample = type(method).sample

    def watched(self, *arguments):
        used.add(id(self))
        return sample(self, *arguments)

    monkeypatch.setattr(type(method), "sample", watched)
    arguments = {"cells": CELLS, "counts": COUNTS, "steps": 3, "sampler": "ancestral", "seed": 4}
    alone = generate_structures(method, **arguments)
    assert used == {id(method)}
    shared = generate_structures(method, **arguments, devices=("cpu", "cpu:0"))  # the second one is a copy
    assert len(used) == 2
    for one, two in zip(alone.frames, shared.frames, strict=True):
        np.testing.assert_array_equal(one.positions, two.positions)


def test_a_batch_that_does_not_fit_into_the_memory_is_divided(method, monkeypatch):
    sizes = []
    sample = type(method).sample

    def limited(self, start, *arguments):
        sizes.append(len(start))
        if len(start) > 2:
            raise torch.cuda.OutOfMemoryError
        return sample(self, start, *arguments)

    arguments = {"cells": CELLS, "counts": COUNTS, "steps": 2, "sampler": "ode"}
    whole = generate_structures(method, **arguments)
    monkeypatch.setattr(type(method), "sample", limited)
    divided = generate_structures(method, **arguments)
    assert [size for size in sizes if size <= 2] == [
        2,
        1,
        2,
        2,
        1,
        2,
    ]  # warm-up and sampling: 5 -> 2 + (1 + 2)
    for one, two in zip(whole.frames, divided.frames, strict=True):
        assert one.get_chemical_symbols() == two.get_chemical_symbols()
        shift = one.get_scaled_positions() - two.get_scaled_positions()
        assert np.abs(shift - shift.round()).max() < 1e-3

    def too_small(self, start, *arguments):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(type(method), "sample", too_small)
    with pytest.raises(
        AmsbenchError, match="a structure of 40 atoms and ghosts does not fit into the memory of cpu"
    ):
        generate_structures(method, **arguments)


def test_structures_that_are_not_kept_have_all_reached_the_sink(method):
    parts: list = []
    arguments = {"cells": CELLS, "counts": COUNTS, "steps": 1}
    made = generate_structures(method, **arguments, sink=parts.extend, keep=False)
    assert made.frames == []
    assert parts == generate_structures(method, **arguments).frames


def test_an_error_in_a_thread_is_raised(method, monkeypatch):
    def broken(self, start, steps, sampler, noise):
        if steps > 1 and len(start) and start.counts[0] == 50:
            raise RuntimeError("no more")
        return start

    monkeypatch.setattr(type(method), "sample", broken)
    monkeypatch.setitem(batches.ATOMS_PER_BATCH, "cpu", 60)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="no more"):
            generate_structures(method, cells=CELLS, counts=COUNTS, steps=2, sampler="ode")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_targets_are_stored_and_matter(method):
    targets = {"shear_modulus": np.linspace(20, 28, 5)}
    made = generate_structures(method, cells=CELLS, counts=COUNTS, targets=targets, steps=2, sampler="ode")
    assert [f.info["target_shear_modulus"] for f in made.frames] == pytest.approx([20, 22, 24, 26, 28])
    assert all("target_ring_size" not in f.info for f in made.frames)


@pytest.mark.parametrize("count", [1, 7, 60, 61])
def test_batches_hold_every_structure_once(count):
    slices = batches.batches_of([20] * count, 60)
    covered = [k for piece in slices for k in range(*piece)]
    assert covered == list(range(count))
    assert all(piece.stop - piece.start <= 3 for piece in slices)


def test_a_structure_larger_than_a_batch():
    assert batches.batches_of([500, 10, 10], 100) == [(0, 1), (1, 3)]


def test_mistakes(method):
    arguments = {"cells": CELLS, "counts": COUNTS}
    with pytest.raises(AmsbenchError, match="0 sampling steps"):
        generate_structures(method, **arguments, steps=0)
    with pytest.raises(AmsbenchError, match="not trained on property 'hardness'"):
        generate_structures(method, **arguments, steps=1, targets={"hardness": np.zeros(5)})
    with pytest.raises(AmsbenchError, match="5 finite target values"):
        generate_structures(method, **arguments, steps=1, targets={"ring_size": np.zeros(4)})
    thin = CELLS.copy()
    thin[2] = [[8, 0, 0], [7.5, 3.0, 0], [0, 0, 8]]
    with pytest.raises(AmsbenchError, match="cell 2 has a height of"):
        generate_structures(method, cells=thin, counts=COUNTS, steps=1)


def test_one_target_for_all_structures_or_one_for_each(method):
    """Both give the same structures. One value is broadcast to an array that torch must not write to."""
    made = [
        amsbench.generate(method, targets={"ring_size": target}, count=2, steps=1, cell=8.0)
        for target in (5.0, [5.0, 5.0])
    ]
    for one, two in zip(*made, strict=True):
        assert one.info == two.info == {"target_ring_size": 5.0}
        np.testing.assert_array_equal(one.positions, two.positions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"targets": {"ring_size": [5.0, 5.1, 5.2]}},
            r"ring_size=\[5.0, 5.1, 5.2\] is neither one number nor 2",
        ),
        ({"targets": {"ring_size": "large"}}, "ring_size='large' is neither"),
        ({"targets": {"ring_size": None}}, "ring_size=None is neither one number nor 2"),
        ({"cell": "large"}, "a cell is 1, 3 or 9 numbers in angstrom, not 'large'"),
        ({"steps": 2.5}, "sampling steps is a whole number, 1 or more, not 2.5"),
        ({"count": 1.5}, "structures is a whole number, 1 or more, not 1.5"),
    ],
)
def test_mistakes_in_a_notebook_are_one_sentence(method, arguments, message):
    with pytest.raises(AmsbenchError, match=message):
        amsbench.generate(method, **({"count": 2, "steps": 1, "cell": 8.0} | arguments))


def test_extrapolation_is_said(method):
    assert outside_training_range(method.task, {"shear_modulus": [20.0, 25.0]}) == []
    (sentence,) = outside_training_range(method.task, {"shear_modulus": [10.0, 25.0, 50.0]})
    assert "2 of 3 targets of shear_modulus" in sentence


@pytest.mark.parametrize("cell", [[1, 2], [0.0], [float("nan")], [1, 2, 3, 2, 4, 6, 0, 0, 1], []])
def test_cells_that_are_none(cell):
    with pytest.raises(AmsbenchError):
        cell_matrix(cell)


def test_cells():
    np.testing.assert_allclose(cell_matrix(18), np.eye(3) * 18)
    np.testing.assert_allclose(cell_matrix([1, 2, 3]), np.diag([1, 2, 3]))
    np.testing.assert_allclose(cell_matrix([2, 0, 0, 1, 3, 0, 0, 0, 4])[1], [1, 3, 0])
