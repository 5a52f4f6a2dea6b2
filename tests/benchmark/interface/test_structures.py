"""Packed structures: ghosts, coordinates, conversion from and to ASE and torch-geometric."""

import numpy as np
import pytest
import torch

from amsbench.benchmark.interface.structures import (
    Structures,
    add_ghosts,
    cartesian,
    fractional,
    minimum_image,
)
from amsbench.errors import AmsbenchError


def test_ghosts_fill_up_to_the_density(small_batch):
    batch = small_batch(2, 1, sizes=(20, 31, 5))
    filled = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(0))
    expected = np.floor(0.11 * np.abs(np.linalg.det(batch.cells.double().numpy())))
    assert filled.counts.tolist() == expected.tolist()
    assert torch.bincount(filled.batch).tolist() == expected.tolist()
    offsets = filled.offsets.tolist()
    for k, real in enumerate((20, 31, 5)):
        rows = slice(offsets[k], offsets[k] + real)
        torch.testing.assert_close(filled.positions[rows], batch.positions[batch.batch == k])
        torch.testing.assert_close(filled.species[rows], batch.species[batch.batch == k])
        ghosts = slice(offsets[k] + real, offsets[k + 1])
        assert set(filled.species[ghosts].tolist()) == {2}
        fractions = filled.positions[ghosts] @ torch.linalg.inv(batch.cells[k])
        assert float(fractions.min()) > -1e-4
        assert float(fractions.max()) < 1 + 1e-4
    again = add_ghosts(batch, 0.11, 2, torch.Generator().manual_seed(1))
    assert not torch.equal(again.positions, filled.positions)


def test_too_dense_for_ghosts(small_batch):
    with pytest.raises(AmsbenchError, match="more than the ghost density"):
        add_ghosts(small_batch(2, 0, sizes=(200,)), 0.11, 2, torch.Generator())


def test_atoms_round_trip(small_batch):
    batch = small_batch(2, 0)
    frames = batch.to_atoms(("Si", "O"))
    back = Structures.from_atoms(frames, ("Si", "O"))
    assert back.species.tolist() == batch.species.tolist()
    torch.testing.assert_close(back.positions, batch.positions, rtol=0, atol=1e-5)
    torch.testing.assert_close(back.cells, batch.cells)


def test_ghosts_are_left_out(small_batch):
    batch = add_ghosts(small_batch(2, 0, sizes=(20,)), 0.11, 2, torch.Generator())
    (frame,) = batch.to_atoms(("Si", "O"))
    assert len(frame) == 20
    assert set(frame.get_chemical_symbols()) <= {"Si", "O"}


def test_unknown_element():
    from ase import Atoms

    with pytest.raises(AmsbenchError, match="element 'Na'"):
        Structures.from_atoms([Atoms("Na", cell=np.eye(3) * 5, pbc=True)], ("Si", "O"))


def test_torch_geometric_batch(small_batch):
    from torch_geometric.data import Batch, Data

    batch = small_batch(2, 2)
    samples = [
        Data(
            pos=batch.positions[batch.batch == k],
            cell=batch.cells[k : k + 1],
            species=batch.species[batch.batch == k],
            properties=batch.properties[k : k + 1],
        )
        for k in range(2)
    ]
    back = Structures.from_data(Batch.from_data_list(samples))
    for name, value in vars(batch).items():
        torch.testing.assert_close(getattr(back, name), value, equal_nan=True)


def test_fractional_and_cartesian_coordinates_and_the_shortest_image(small_batch):
    batch = small_batch(2, 0, dtype=torch.float64)
    fractions = fractional(batch.positions, batch)
    for k in range(len(batch)):
        rows = batch.batch == k
        expected = np.linalg.solve(batch.cells[k].numpy().T, batch.positions[rows].numpy().T).T
        np.testing.assert_allclose(fractions[rows], expected, atol=1e-12)
    torch.testing.assert_close(cartesian(fractions, batch), batch.positions)
    images = cartesian(torch.randint(-3, 4, fractions.shape).double(), batch)
    short = 0.1 * batch.positions
    torch.testing.assert_close(minimum_image(short + images, batch), minimum_image(short, batch))
    torch.testing.assert_close(minimum_image(0.01 * batch.positions, batch), 0.01 * batch.positions)
