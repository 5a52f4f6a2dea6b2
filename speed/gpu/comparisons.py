"""Comparison of every kernel of the GPU with a reference: networks and gradients, neighbour tables, random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from ...benchmark.datasets.dataset import Dataset
from ...benchmark.interface.neighbour_graph import neighbour_graph
from ...benchmark.interface.structures import Structures
from ...benchmark.system.environment import environment_variables
from ...methods.egnn.config import EGNNConfig
from ...methods.egnn.edge_sums_triton import usable
from ...methods.egnn.layer import EGNNLayer
from ...methods.egnn.neighbour_table import NeighbourCapacity, neighbour_table
from ...methods.egnn.network import EGNN
from ...methods.egnn.reference import ReferenceEGNN, reference_weights
from ...methods.egnn.triton_choice import VARIABLE

LIMITS = {"float32": (1e-4, 1e-4), "bfloat16": (1e-2, 3e-2)}
"""Largest relative deviation, in the Euclidean norm, of outputs and of gradients, by the type of the products.

bfloat16 has 8 bits; gradients go through every layer twice.
"""
GEOMETRY_LIMIT, NUMBER_LIMIT = 1e-4, 1e-5
AT_ONCE = 2
"""Structures at once in the reference in float64, which stores all of its edges."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The deviation of one result from its reference, and the limit that it must not exceed; NaN exceeds every one."""

    subject: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit

    def as_json(self) -> dict[str, object]:
        return asdict(self) | {"error": repr(self.error), "passed": self.passed}


def random_structures(dataset: Dataset, count: int, atoms: int | None, device: torch.device) -> Structures:
    """``count`` cubic cells with atoms at random places, at the density of a dataset (with ghosts, if it has them).

    atoms: of the first cell, by default as many as the dataset's samples have; each cell has one more
    """
    volumes = np.abs(np.linalg.det(dataset.cells))
    density = dataset.definition.ghost_density or float(dataset.counts.sum() / volumes.sum())
    first = atoms or int(density * volumes.mean())
    counts = first + torch.arange(count)
    edges = (counts / density) ** (1 / 3)
    start = Structures.empty_cells(torch.eye(3)[None] * edges[:, None, None], counts, torch.zeros(count, 0))
    u = torch.rand(int(counts.sum()), 3, generator=torch.Generator().manual_seed(count))
    return start.with_positions(u * edges[start.batch][:, None]).to(device)


def compare_network(
    config: EGNNConfig, structures: Structures, *, products: str, choice: str, label: str
) -> list[Comparison]:
    """Outputs and gradients of a network by the kernels against the reference in float64."""
    torch.manual_seed(0)
    network = EGNN(config)
    for layer in network.layers:
        assert isinstance(layer, EGNNLayer)
        # at their initial values positions hardly move
        torch.nn.init.normal_(layer.shift.weight, std=0.1)
        torch.nn.init.normal_(layer.shift.bias, std=0.1)
    network.to(structures.positions.device)
    generator = torch.Generator().manual_seed(3)
    shapes = ((len(structures.positions), config.hidden), (len(structures.positions), 3))
    h, *signs = (torch.randn(*s, generator=generator) for s in (shapes[0], *shapes))
    h, signs = h.to(structures.positions.device), [s.to(structures.positions.device) for s in signs]
    expected = _reference(network, h, structures, signs)
    with environment_variables({"AMSBENCH_TRITON": products, VARIABLE: choice}):
        if not usable(config, h):
            return [Comparison(subject=f"{label}: the kernels are not used here", error=np.inf, limit=0.0)]
        capacity = NeighbourCapacity.expected(structures, config.cutoff)
        table = neighbour_table(structures, config.cutoff, capacity)
        assert capacity.check(), "more neighbours than an ideal gas has"
        ours = _results(network, network, h, structures.positions, table, signs)
    outputs, gradients = LIMITS[products]
    return [
        Comparison(subject=f"{label}, outputs", error=_deviation(ours[:2], expected[:2]), limit=outputs),
        Comparison(subject=f"{label}, gradients", error=_deviation(ours[2:], expected[2:]), limit=gradients),
    ]


def _results(
    function: object, network: EGNN, h: Tensor, positions: Tensor, graph: object, signs: Sequence[Tensor]
) -> list[Tensor]:
    """Both outputs, the gradient of h and those of all weights, for one sum over the outputs."""
    h = h.clone().requires_grad_()
    outputs = function(h, positions, graph)  # type: ignore[operator]
    loss = sum(((out * sign).sum() for out, sign in zip(outputs, signs, strict=True)), h.new_zeros(()))
    grads = torch.autograd.grad(loss, [h, *network.parameters()], allow_unused=True, materialize_grads=True)
    return [*(out.detach() for out in outputs), *grads]


def _reference(network: EGNN, h: Tensor, structures: Structures, signs: Sequence[Tensor]) -> list[Tensor]:
    """As ``_results`` in float64 by the network in its most direct form, a few structures after the other."""
    exact = EGNN(network.config).double().to(h.device)
    exact.load_state_dict(network.state_dict())
    module = ReferenceEGNN(exact)
    offsets, parts = structures.offsets.tolist(), []
    for first in range(0, len(structures), AT_ONCE):
        last = min(first + AT_ONCE, len(structures))
        rows = slice(offsets[first], offsets[last])
        some = Structures(
            positions=structures.positions[rows].double(),
            cells=structures.cells[first:last].double(),
            species=structures.species[rows],
            batch=structures.batch[rows] - first,
            counts=structures.counts[first:last],
            properties=structures.properties[first:last].double(),
        )
        graph = neighbour_graph(some, network.config.cutoff)

        def function(*inputs: object) -> tuple[Tensor, Tensor]:
            outputs: tuple[Tensor, Tensor] = functional_call(module, reference_weights(exact), inputs)
            return outputs

        chosen = [sign[rows].double() for sign in signs]
        parts.append(_results(function, exact, h[rows].double(), some.positions, graph, chosen))
    per_atom = [torch.cat([part[k] for part in parts]) for k in range(3)]
    return [*per_atom, *(torch.stack(t).sum(0) for t in zip(*(part[3:] for part in parts), strict=True))]


def _deviation(ours: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Norm of all differences over the norm of all that is expected, each tensor with the same weight."""
    pairs = [
        (a.double(), b.double()) for a, b in zip(ours, expected, strict=True) if float(b.abs().max()) > 0
    ]
    squares = torch.stack([((a - b).norm() / b.norm()) ** 2 for a, b in pairs])
    return float(squares.mean().sqrt())


def compare_table(config: EGNNConfig, structures: Structures, label: str) -> Comparison:
    """A neighbour table against the neighbour graph, by sums over the edges of each atom.

    The smooth cutoff is a factor of all, so that an edge at the cutoff, which rounding may take or leave, has none.
    """
    graph = neighbour_graph(structures, config.cutoff)
    table = neighbour_table(structures, config.cutoff, NeighbourCapacity.expected(structures, config.cutoff))
    x, marks = structures.positions.double(), structures.positions.double().sin()
    d = x[graph.receivers] - x[graph.senders] - graph.shifts.double()
    distance = d.norm(dim=1)
    smooth = 2 * torch.tanh(1 - distance / config.cutoff) ** 2
    values = torch.cat([d, distance[:, None], torch.ones_like(distance)[:, None], marks[graph.senders]], 1)
    expected = torch.zeros(len(x), 8, dtype=torch.float64, device=x.device)
    expected.index_add_(0, graph.receivers, smooth[:, None] * values)
    real = torch.arange(table.capacity, device=x.device) < table.counts[:, None]
    senders = torch.where(real, table.senders, 0).long()
    shift, distance = table.geometry[:3].double().permute(1, 2, 0), table.geometry[3].double()
    weight = torch.where(real, table.geometry[4].double(), 0.0)
    d = x[:, None] - x[senders] - torch.where(real[..., None], shift, 0.0)
    distance = torch.where(real, distance, 0.0)
    values = torch.cat([d, distance[..., None], torch.ones_like(distance)[..., None], marks[senders]], 2)
    ours = (weight[..., None] * values).sum(1)
    error = float((ours - expected).norm() / expected.norm())
    return Comparison(subject=f"{label}, neighbour table", error=error, limit=GEOMETRY_LIMIT)


def compare_random_numbers(device: torch.device) -> list[Comparison]:
    """Random numbers of the device against the same generator (Philox-4x32-10) in numpy."""
    from ...benchmark.interface.noise_triton import DeviceNoise

    counts, seeds, width = [5, 300], [7, 2**62 + 5], 3
    noise = DeviceNoise(counts, seeds, device)
    normal, uniform = noise.normal_atoms(width), noise.uniform_atoms(width)
    results = []
    for name, call, ours in (("normal", 1, normal), ("uniform", 2, uniform)):
        expected = []
        for count, seed in zip(counts, seeds, strict=True):
            a, b = (u.astype(np.float64) for u in _philox(seed, np.arange(count * width), call))
            # as Triton: a signed number scaled to [0, 1)
            u, v = (_uniform(t) for t in (a, b))
            if name == "normal":
                u = np.sqrt(-2 * np.log(np.maximum(1e-7, u))) * np.cos(2 * np.pi * v)
            expected.append(u.reshape(count, width))
        reference = torch.as_tensor(np.concatenate(expected))
        error = float((ours.cpu().double() - reference).norm() / reference.norm())
        results.append(Comparison(subject=f"{name} random numbers", error=error, limit=NUMBER_LIMIT))
    return results


def _uniform(words: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) of 32-bit words, as by ``tl.uint_to_uniform_float``."""
    signed = np.where(words >= 2**31, words - 2**32, words)
    return np.where(signed < 0, -signed - 1, signed) * 4.6566127342e-10


def _philox(seed: int, counter: np.ndarray, call: int) -> tuple[np.ndarray, np.ndarray]:
    """The first two words of Philox-4x32-10 (Salmon et al., SC 2011) for counters (counter, call, 0, 0)."""
    mask = np.uint64(0xFFFFFFFF)
    c = [counter.astype(np.uint64), np.full(len(counter), call, np.uint64)]
    c += [np.zeros(len(counter), np.uint64) for _ in range(2)]
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64((seed >> 32) & 0xFFFFFFFF)]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        shift = np.uint64(32)
        c = [
            (second >> shift) ^ c[1] ^ key[0],
            second & mask,
            (first >> shift) ^ c[3] ^ key[1],
            first & mask,
        ]
        weyl = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
        key = [(k + w) & mask for k, w in zip(key, weyl, strict=True)]
    return c[0], c[1]
