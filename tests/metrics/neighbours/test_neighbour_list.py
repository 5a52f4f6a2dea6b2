"""Neighbour lists against explicit enumeration of all images, crystals and vesin."""

import itertools
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.metrics.neighbours import neighbour_list as module
from amsbench.metrics.neighbours.neighbour_list import Neighbours, neighbour_list

BUILT = module.info()["built"]
AVAILABLE = module.LIBRARY.available_levels
native = pytest.mark.skipif(not BUILT, reason=module.info()["reason"])


def use(monkeypatch, path):
    monkeypatch.setenv("AMSBENCH_NATIVE", "0" if path == "vesin" else "1")
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "" if path == "vesin" else path)


@pytest.fixture(params=["vesin", *module.SEARCH_LEVELS])
def path(request, monkeypatch):
    """vesin and each instruction set of the native library."""
    if request.param not in ("vesin", *AVAILABLE):
        pytest.skip(f"no native library at the level {request.param} here")
    use(monkeypatch, request.param)
    return request.param


def single(positions, cell, cutoff):
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    return neighbour_list(positions, np.asarray(cell, dtype=float)[None], np.array([len(positions)]), cutoff)


def vectors(positions, neighbours):
    return positions[neighbours.receivers] - positions[neighbours.senders] - neighbours.shifts


def edges(neighbours, cell):
    """Receiver, sender and lattice translation of every edge [e, 5], sorted."""
    images = neighbours.shifts @ np.linalg.inv(cell)
    np.testing.assert_allclose(images, np.rint(images), atol=1e-6)
    rows = np.column_stack([neighbours.receivers, neighbours.senders, np.rint(images).astype(int)])
    return rows[np.lexsort(rows.T[::-1])]


def enumerated(positions, cell, cutoff):
    """Receiver, sender and translation of every edge, by enumeration of all images within the cutoff and one layer
    more."""
    inverse = np.linalg.inv(cell)
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0)).astype(int) + 1
    around = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))
    rows = []
    for i, j in itertools.product(range(len(positions)), repeat=2):
        difference = positions[i] - positions[j]
        images = np.rint(difference @ inverse).astype(int) + around
        near = np.linalg.norm(difference - images @ cell, axis=1) < cutoff
        if i == j:
            near &= (images != 0).any(axis=1)
        rows += [(i, j, *image) for image in images[near]]
    rows = np.array(rows).reshape(-1, 5)
    return rows[np.lexsort(rows.T[::-1])]


CELLS = {
    # Number of atoms and cell (A), for a cutoff of 3 A.
    "cubic": (20, np.eye(3) * 6.5),
    "orthorhombic": (26, np.diag([6.2, 9.0, 7.1])),
    "triclinic": (26, [[6.9, 0.3, -0.2], [2.1, 7.2, 0.4], [-1.0, 0.8, 6.6]]),
    "left-handed": (20, [[0.4, 7.0, 0.1], [6.6, -0.3, 0.5], [0.2, 0.6, 7.3]]),
    "below two cutoffs": (14, [[4.1, 0.2, 0.0], [0.9, 5.5, -0.6], [0.3, 0.4, 4.8]]),
    "below the cutoff": (5, [[2.6, 0.0, 0.1], [0.7, 2.8, 0.0], [0.2, -0.9, 2.3]]),
    "thin in one direction": (12, [[1.2, 0.1, 0.0], [0.3, 8.1, 0.2], [0.1, 0.4, 7.5]]),
    "thin in two directions": (9, [[1.3, 0.1, 0.2], [0.0, 1.2, 0.1], [0.5, 0.3, 14.0]]),
    "thin everywhere": (2, [[1.3, 0.2, 0.0], [0.1, 1.2, 0.3], [0.2, 0.0, 1.4]]),
    "very skewed": (10, [[6.0, 0.0, 0.0], [29.0, 6.5, 0.0], [-17.0, 23.0, 7.0]]),
    "thin by its skew": (6, [[5.0, 0.0, 0.0], [4.6, 1.5, 0.0], [-3.9, 1.3, 4.0]]),
    "one atom": (1, [[2.0, 0.1, 0.0], [-0.9, 1.7, 0.2], [0.3, 0.5, 1.9]]),
    "long": (25, np.diag([4.0, 4.4, 60.0])),
}


@pytest.mark.parametrize("wide", [False, True], ids=["wrapped", "ten cells away"])
@pytest.mark.parametrize("name", CELLS)
def test_every_image_of_every_pair_is_found(path, name, wide):
    n, cell = CELLS[name]
    cell, rng = np.asarray(cell, dtype=float), np.random.default_rng(len(name))
    positions = rng.random((n, 3)) @ cell
    if wide:
        positions += rng.integers(-10, 11, (n, 3)) @ cell
    neighbours = single(positions, cell, 3.0)
    np.testing.assert_array_equal(edges(neighbours, cell), enumerated(positions, cell, 3.0))
    assert (np.diff(neighbours.receivers * n + neighbours.senders) >= 0).all()
    assert (np.linalg.norm(vectors(positions, neighbours), axis=1) < 3.0).all()
    assert (neighbours.receivers.dtype, neighbours.senders.dtype) == (np.int64, np.int64)
    assert (neighbours.shifts.dtype, neighbours.shifts.shape) == (np.float64, (len(neighbours.receivers), 3))


@pytest.mark.parametrize("seed", range(12))
def test_random_cells(path, seed):
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 2.5 + np.eye(3) * rng.uniform(2, 8, 3)
    positions = rng.normal(scale=30, size=(rng.integers(1, 16), 3))
    cutoff = rng.uniform(0.4, 1.2) * abs(np.linalg.det(cell)) ** (1 / 3)
    np.testing.assert_array_equal(
        edges(single(positions, cell, cutoff), cell), enumerated(positions, cell, cutoff)
    )


@native
@pytest.mark.parametrize("skew", [0.0, 0.6], ids=["cubic", "skewed"])
@pytest.mark.parametrize(("n", "cutoff"), [(700, 5.0), (1300, 6.5), (1300, 3.0), (4000, 4.0)])
def test_edges_of_many_atoms_are_those_of_vesin(monkeypatch, n, cutoff, skew):
    rng = np.random.default_rng(n)
    cell = (np.eye(3) + skew * np.diag([1.0, 1.0], -1)) * (n / 0.0516) ** (1 / 3)
    positions = rng.random((n, 3)) @ cell + rng.integers(-2, 3, (n, 3)) @ cell
    use(monkeypatch, "vesin")
    expected = single(positions, cell, cutoff)
    for level in AVAILABLE:
        use(monkeypatch, level)
        neighbours = single(positions, cell, cutoff)
        np.testing.assert_array_equal(neighbours.receivers, expected.receivers)
        np.testing.assert_array_equal(neighbours.senders, expected.senders)
        np.testing.assert_array_equal(edges(neighbours, cell), edges(expected, cell))


@native
@pytest.mark.parametrize("name", CELLS)
def test_instruction_sets_agree_to_the_last_bit(monkeypatch, name):
    n, cell = CELLS[name]
    positions = np.random.default_rng(0).random((n, 3)) @ np.asarray(cell, dtype=float)
    lists = []
    for level in AVAILABLE:
        use(monkeypatch, level)
        lists.append(single(positions, cell, 3.0))
    for other in lists[1:]:
        for ours, theirs in zip(other, lists[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_one_lattice_in_two_cells_has_the_same_surroundings(path):
    rng = np.random.default_rng(3)
    cell = np.array([[7.0, 0.2, 0.0], [1.0, 7.5, 0.3], [-0.4, 0.6, 8.0]])
    skewed = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]) @ cell
    positions = rng.random((18, 3)) @ cell
    both = [vectors(positions, single(positions, c, 3.3)) for c in (cell, skewed)]
    lengths = [np.sort(np.linalg.norm(v, axis=1)) for v in both]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-12)


@pytest.mark.parametrize("repeats", [1, 2, 3, 10])
def test_a_distance_of_exactly_the_cutoff_is_outside(path, repeats):
    """Simple cubic, a = 3 A, of one atom or of many: the first shell is complete or absent."""
    grid = np.array(list(itertools.product(range(repeats), repeat=3)))
    cell = np.eye(3) * 3.0 * repeats
    assert len(single(grid * 3.0, cell, 3.0).receivers) == 0
    neighbours = single(grid * 3.0, cell, 3.0 + 1e-9)
    assert (np.bincount(neighbours.receivers) == 6).all()
    assert len(neighbours.receivers) == 6 * repeats**3
    np.testing.assert_allclose(np.linalg.norm(vectors(grid * 3.0, neighbours), axis=1), 3.0, rtol=1e-15)


@pytest.mark.parametrize("name", CELLS)
def test_every_edge_has_its_mirror_image(path, name):
    n, cell = CELLS[name]
    rng = np.random.default_rng(5)
    positions = np.concatenate([rng.random((n, 3)), [[0, 0, 0], [1, 0.5, 1], [0.5, 1, 0]]]) @ np.asarray(cell)
    rows = edges(single(positions, cell, 3.0), cell)
    mirrored = np.column_stack([rows[:, 1], rows[:, 0], -rows[:, 2:]])
    np.testing.assert_array_equal(mirrored[np.lexsort(mirrored.T[::-1])], rows)


def test_the_images_of_one_atom_are_the_lattice_points_of_a_sphere(path):
    points = np.array(list(itertools.product(range(-6, 7), repeat=3)))
    inside = ((points**2).sum(axis=1) > 0) & ((points**2).sum(axis=1) < 5.5**2)
    neighbours = single([[0.3, -7.0, 900.1]], np.eye(3) * 2.0, 11.0)
    assert len(neighbours.receivers) == inside.sum()
    lengths = np.sort(np.linalg.norm(neighbours.shifts, axis=1))
    np.testing.assert_allclose(lengths, np.sort(2 * np.linalg.norm(points[inside], axis=1)))


@pytest.mark.parametrize("length", [12.0, 4.0], ids=["nearest image", "all images"])
def test_atoms_at_the_same_point_are_neighbours(path, length):
    positions = np.array([[1.0, 2.0, 3.0]] * 3 + [[1.0 + length, 2.0 - 2 * length, 3.0]])
    neighbours = single(positions, np.eye(3) * length, 1.0)
    assert list(zip(neighbours.receivers, neighbours.senders, strict=True)) == list(
        itertools.permutations(range(4), 2)
    )
    np.testing.assert_array_equal(vectors(positions, neighbours), 0)


def batch(sizes, seed=0):
    """Packed random structures of the given numbers of atoms in small and large cells."""
    rng = np.random.default_rng(seed)
    cells = np.array([np.eye(3) * rng.uniform(2.5, 9.0) + rng.uniform(-0.7, 0.7, (3, 3)) for _ in sizes])
    positions = [rng.normal(scale=9, size=(n, 3)) for n in sizes]
    return np.concatenate([np.zeros((0, 3)), *positions]), cells, np.array(sizes)


def test_a_batch_is_its_structures_one_after_the_other(path):
    sizes = [7, 0, 12, 1, 0, 30]
    positions, cells, counts = batch(sizes)
    neighbours = neighbour_list(positions, cells, counts, 3.1)
    start, parts = 0, []
    for n, cell in zip(sizes, cells, strict=True):
        alone = single(positions[start : start + n], cell, 3.1)
        parts.append((alone.receivers + start, alone.senders + start, alone.shifts))
        start += n
    for whole, part in zip(neighbours, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(whole, np.concatenate(part))


def test_nothing_has_no_edges(path):
    for neighbours in (
        neighbour_list(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0, dtype=int), 3.0),
        single(np.zeros((0, 3)), np.eye(3), 3.0),
        single([[1, 2, 3]], np.eye(3) * 9, 3.0),
    ):
        assert [part.shape for part in neighbours] == [(0,), (0,), (0, 3)]


def test_threads_change_nothing(path, monkeypatch):
    monkeypatch.setattr(module, "_ATOMS_PER_THREAD", 20)
    positions, cells, counts = batch([3, 60, 0, 41, 200, 5, 7, 33])
    alone = neighbour_list(positions, cells, counts, 3.0)
    for threads in (2, 3, 50):
        shared = neighbour_list(positions, cells, counts, 3.0, threads=threads)
        for ours, theirs in zip(shared, alone, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_shares_of_threads_hold_every_structure_once():
    offsets = np.concatenate([[0], np.cumsum([5000, 10, 10, 4000, 0, 3000, 9000])])
    for threads in range(1, 9):
        shares = module._split(offsets, threads)
        assert 1 <= len(shares) <= threads
        assert (shares[0][0], shares[-1][1]) == (0, 7)
        assert all(a[1] == b[0] for a, b in pairwise(shares))
    assert module._split(np.array([0, 300, 700]), 4) == [(0, 2)]


def test_mistakes_are_named(path):
    cell = np.eye(3) * 8.0
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(AmsbenchError, match="not finite"):
            single([[0, 0, 0], [1, value, 0]], cell, 3.0)
        with pytest.raises(AmsbenchError, match="not finite"):
            single([[0, 0, 0]], np.diag([8, 8, value]), 3.0)
    with pytest.raises(AmsbenchError, match=r"without volume, \[\[8.0"):
        single([[0, 0, 0]], np.diag([8.0, 8.0, 0.0]), 3.0)
    with pytest.raises(AmsbenchError, match="without volume"):
        single(np.zeros((0, 3)), np.zeros((3, 3)), 3.0)
    positions = np.zeros((4, 3))
    with pytest.raises(AmsbenchError, match=r"without volume, \[\[0.0"):
        neighbour_list(positions, np.array([cell, 0 * cell]), np.array([2, 2]), 3.0)
    with pytest.raises(AmsbenchError, match="do not fit together"):
        neighbour_list(positions, cell[None], np.array([5]), 3.0)
    for cutoff in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(AmsbenchError, match="cutoff"):
            single(positions, cell, cutoff)


@native
def test_a_search_of_huge_positions_ends_with_symmetric_edges(monkeypatch):
    """Positions of a sampler that diverged: every edge still has its mirror image."""
    for level, size in itertools.product(AVAILABLE, (1e7, 1e17, 1e40, 1e250)):
        use(monkeypatch, level)
        positions = np.random.default_rng(0).normal(size=(20, 3)) * size
        for cell in (np.eye(3) * 9.0, [[4.0, 0, 0], [3, 2, 0], [-1, 1, 5]]):
            neighbours = single(positions, cell, 3.0)
            pairs = np.sort(np.column_stack(neighbours[:2]), axis=1)
            assert (np.unique(pairs, axis=0, return_counts=True)[1] % 2 == 0).all()
        with pytest.raises(AmsbenchError, match="not finite"):
            single([[1.7e308, 0, 0]], np.eye(3) * 0.5, 0.1)


@native
def test_a_cell_too_thin_for_its_edges_has_no_volume(monkeypatch):
    for level in AVAILABLE:
        use(monkeypatch, level)
        with pytest.raises(AmsbenchError, match="without volume"):
            single([[0, 0, 0]], [[1e4, 0, 0], [0, 1e4, 0], [1e4, 1e4, 1e-4]], 1.0)
        with pytest.raises(MemoryError, match="neighbours"):
            single([[0, 0, 0]], np.eye(3) * 0.01, 9.0)


@native
def test_the_environment_is_read_at_every_call(monkeypatch):
    monkeypatch.setenv("AMSBENCH_NATIVE_LEVEL", "")
    monkeypatch.setenv("AMSBENCH_NATIVE", "1")
    assert module.info()["active"]
    assert module.info()["level"] == AVAILABLE[-1]
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    assert not module.active()
    assert module.info()["built"]
    assert "AMSBENCH_NATIVE=0" in module.info()["reason"]
    use(monkeypatch, "amx")  # a level of the kernel of the network alone
    assert module.info()["level"] == AVAILABLE[-1]
    use(monkeypatch, "fast")
    with pytest.raises(AmsbenchError, match=r"'fast'.*plain"):
        single(np.zeros((1, 3)), np.eye(3), 0.5)


def test_without_the_library_vesin_takes_over(monkeypatch):
    monkeypatch.setattr(module, "LIBRARY", replace(module.LIBRARY, name="_not_built"))
    monkeypatch.setenv("AMSBENCH_NATIVE", "1")
    assert module.info() == {
        "built": False,
        "active": False,
        "level": None,
        "reason": "not built: no C compiler was found at installation",
    }
    neighbours = single([[0, 0, 0], [1, 0, 0]], np.eye(3) * 8, 2.0)
    np.testing.assert_array_equal(neighbours.receivers, [0, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_graph_of_the_denoisers_is_this_list(path, dtype):
    positions, cells, counts = batch([9, 25, 4])
    structures = Structures.empty_cells(
        torch.tensor(cells, dtype=dtype), torch.tensor(counts), torch.zeros(3, 0)
    ).with_positions(torch.tensor(positions, dtype=dtype).requires_grad_())
    graph = neighbour_graph(structures, 3.0)
    stored = structures.positions.detach().double().numpy()
    expected = neighbour_list(stored, structures.cells.double().numpy(), counts, 3.0)
    graph_neighbours = Neighbours(
        *(t.double().numpy() for t in (graph.receivers, graph.senders, graph.shifts))
    )
    np.testing.assert_array_equal(graph_neighbours.receivers, expected.receivers)
    np.testing.assert_array_equal(graph_neighbours.senders, expected.senders)
    assert graph.shifts.dtype == dtype
    np.testing.assert_allclose(graph_neighbours.shifts, expected.shifts, rtol=1e-6)
    assert (torch.linalg.vector_norm(graph.vectors(structures.positions), dim=1) < 3.0 + 1e-4).all()
