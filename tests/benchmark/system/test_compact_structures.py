"""Structures on the grid: nothing moves far, files give them back to the last bit, and nothing else is believed."""

import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from amsbench.benchmark.system.compact_structures import (
    GRID,
    CompactFrames,
    on_grid,
    read_compact,
    write_compact,
)
from amsbench.errors import AmsbenchError

SKEWED = np.array([[13.7, 0.0, 0.0], [5.5, 12.1, 0.0], [-4.0, 3.5, 12.5]])


def glass(seed, cell=SKEWED, atoms=40):
    random = np.random.default_rng(seed)
    species = random.choice([3, 8, 14], atoms)
    return Atoms(species, random.uniform(-2, 3, (atoms, 3)) @ cell, cell=cell, pbc=True)


def assert_equal(one, other):
    assert one.positions.tobytes() == other.positions.tobytes()
    assert one.cell.array.tobytes() == other.cell.array.tobytes()
    assert one.numbers.tolist() == other.numbers.tolist()


@pytest.mark.parametrize("cell", [SKEWED, 14.0 * np.eye(3)])
def test_no_atom_moves_further_than_half_a_cell_of_the_grid(cell):
    atoms = glass(0, cell)
    moved = on_grid(atoms).get_scaled_positions() - atoms.get_scaled_positions()
    moved -= np.round(moved)  # images
    assert 0.4 < np.abs(moved).max() * GRID <= 0.5 + 1e-6


def test_what_is_on_the_grid_stays_to_the_last_bit():
    once = on_grid(glass(1))
    assert_equal(on_grid(once), once)


def test_files_hold_the_structures_to_the_last_bit(tmp_path):
    frames = [on_grid(glass(seed, atoms=30 + seed)) for seed in range(3)]
    write_compact(tmp_path / "a.npz", frames)
    write(tmp_path / "a.extxyz", frames)
    text = read(tmp_path / "a.extxyz", index=":")
    for frame, stored, read_back in zip(frames, read_compact(tmp_path / "a.npz"), text, strict=True):
        assert_equal(stored, frame)
        assert_equal(on_grid(read_back), frame)


def test_a_structure_without_finite_coordinates_stays_one(tmp_path):
    broken = glass(2)
    broken.positions[3, 1] = np.inf
    assert on_grid(broken).positions[3, 1] == np.inf
    write_compact(tmp_path / "a.npz", [on_grid(glass(3)), broken])
    sound, stored = read_compact(tmp_path / "a.npz")
    assert np.isfinite(sound.positions).all()
    assert np.isnan(stored.positions).all()
    assert stored.numbers.tolist() == broken.numbers.tolist()


def test_structures_kept_in_little_memory_are_those_on_the_grid_to_the_last_bit():
    frames = [glass(seed, atoms=30 + seed) for seed in range(4)]
    frames[1].info["target_toughness"] = 1.5
    frames[2].positions[3, 1] = np.nan
    kept = CompactFrames()
    kept.extend(frames)
    assert len(kept) == len(frames)
    for frame, one, item in zip(frames, kept, kept[:], strict=True):
        assert_equal(one, on_grid(frame))
        assert_equal(item, on_grid(frame))
        assert one.info == frame.info
        assert one.pbc.all()
    assert_equal(kept[-1], on_grid(frames[3]))
    with pytest.raises(IndexError):
        kept[4]


def test_kept_structures_take_a_fraction_of_the_memory_of_their_coordinates():
    count, atoms = 200, 250
    frames = (glass(seed, atoms=atoms) for seed in range(count))
    tracemalloc.start()
    kept = CompactFrames()
    kept.extend(frames)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    coordinates = count * atoms * 3 * 8
    assert used < coordinates / 2


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    write_compact(path, [glass(4)])
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(AmsbenchError, match=r"a\.npz is (truncated|damaged) or is not an amsbench file"):
            read_compact(path)
    np.savez(
        path,
        counts=[5],
        numbers=np.array([8], np.uint8),
        cells=np.eye(3)[None],
        places=np.zeros((1, 3), np.uint16),
        finite=[True],
    )
    with pytest.raises(AmsbenchError, match=r"a\.npz is damaged: its arrays"):
        read_compact(path)
