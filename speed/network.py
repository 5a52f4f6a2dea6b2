"""How fast this machine runs what amsbench computes: the tools of ``amsbench bench``, networks and neighbour lists.

Paths through the same work are timed in turns within one process, each by its best round, so that a ratio survives
a busy machine. FLOPs are those that the function needs in its cheapest form (node parts taken once per atom, moments
of the directions instead of Phi of every edge), whatever a path spends; the limit is the time they take at the peak
that was measured for matrix products of the same type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ..benchmark.interface.structures import Structures
from ..methods.egnn import edge_sums_native, edge_sums_triton
from ..methods.egnn.network import EGNN
from ..methods.egnn.reference import ReferenceEGNN
from ..methods.material_method import MATERIAL_NETWORKS
from ..metrics.neighbours import neighbour_list
from .timing import SECONDS, Row, environment, flops, race

ATOMS = 256
DENSITY = ATOMS / 17.05**3
"""Atoms per A^3 of liquid silicon."""
CUTOFF = 6.5
"""A, of the neighbour lists; the networks bring their own."""
BYTES_PER_STRUCTURE = 2**29
"""What a training step of the reference keeps on a GPU for each structure, in the wide network and with a margin."""
ONE_THREAD = ", one thread"
"""After a path's name: the same on one thread, to see what the others are worth."""
FLOAT32_ERROR = 1e-4
"""Relative deviation that no float32 path has, and that every path with bfloat16 products exceeds tenfold."""


def network_presets() -> list[str]:
    """Names of the network presets that can be measured."""
    return list(MATERIAL_NETWORKS)


def silicon(count: int, device: torch.device) -> Structures:
    """Cubes of 256 atoms at the density of liquid silicon, at random places."""
    edge = (ATOMS / DENSITY) ** (1 / 3)
    start = Structures.empty_cells(
        (torch.eye(3) * edge).repeat(count, 1, 1), torch.full((count,), ATOMS), torch.zeros(count, 0)
    )
    positions = torch.rand(ATOMS * count, 3, generator=torch.Generator().manual_seed(0)) * edge
    return start.with_positions(positions).to(device)


PLAIN: dict[str, str | None] = {"AMSBENCH_NATIVE": "0", "AMSBENCH_TRITON": "0", "AMSBENCH_NATIVE_LEVEL": None}


def network_paths(network: EGNN, h: Tensor) -> dict[str, dict[str, str | None]]:
    """The paths that a network with node features ``h`` can take here, and the environment that chooses each."""
    paths = {"torch": PLAIN}
    if h.is_cuda:
        for kind in ("float32", "bfloat16"):
            chosen = PLAIN | {"AMSBENCH_TRITON": kind}
            with environment(chosen):
                if edge_sums_triton.usable(network.config, h):
                    paths[f"triton {kind}"] = chosen
        return paths
    if hasattr(torch.backends.mkldnn, "matmul"):  # older torch has no choice of the type
        paths["torch float32"] = PLAIN | {"AMSBENCH_NATIVE_LEVEL": "float32"}
    best = PLAIN | {"AMSBENCH_NATIVE": None}
    with environment(best):
        if edge_sums_native.usable(network.config, h):
            paths["native float32"] = best | {"AMSBENCH_NATIVE_LEVEL": "float32"}
            kernel = edge_sums_native.info()
            if kernel["mode"] == "bfloat16":
                paths[f"native {kernel['level']}"] = best
    return paths


def network_rows(name: str, device: torch.device) -> Iterator[Row]:
    """Forward and training step of one network preset: the reference, then every path of this device."""
    torch.manual_seed(0)
    network = EGNN(MATERIAL_NETWORKS[name]).to(device)
    count = _structures_at_once(device)
    structures = silicon(count, device)
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    reference = ReferenceEGNN(network)
    choices = {"reference": PLAIN, **network_paths(network, h)}
    threads, last = torch.get_num_threads(), list(choices)[-1]
    if threads > 1 and "native" in last:
        choices[last + ONE_THREAD] = choices[last]

    def call(path: str, training: bool) -> tuple[Tensor, ...]:
        module = reference if path == "reference" else network
        with environment(choices[path]), torch.set_grad_enabled(training):
            torch.set_num_threads(1 if path.endswith(ONE_THREAD) else threads)
            outputs = module(h, positions, tables.get(path, graph))
            if training:
                module.zero_grad()
                torch.stack([(out**2).mean() for out in outputs]).sum().backward()
            torch.set_num_threads(threads)
            return outputs

    places = edge_sums_triton.NeighbourCapacity.expected(structures, config.cutoff)
    tables = {
        path: edge_sums_triton.neighbour_table(structures, config.cutoff, places)
        for path in choices
        if "triton" in path
    }
    wanted = call("reference", False)
    errors = {path: _deviation(call(path, False), wanted) for path in choices}
    for training in (False, True):
        best = race({path: partial(call, path, training) for path in choices}, device)
        work = flops(config, len(positions), len(graph.receivers), training=training)
        for path, seconds in best.items():
            yield Row(
                group=f"{name} network, {'training' if training else 'forward'}, {count} x {ATOMS} atoms",
                path=path,
                unit="call",
                seconds=seconds,
                ratio=best["reference"] / seconds,
                work=work,
                products=product_type(errors[path]),
                error=None if training or path == "reference" else errors[path],
            )


def _structures_at_once(device: torch.device) -> int:
    """What fills a GPU and leaves room for the reference; on a CPU one structure already takes milliseconds."""
    if device.type == "cpu":
        return 1
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(64, memory // BYTES_PER_STRUCTURE))


def product_type(error: float) -> str:
    """The type of the matrix products behind outputs that deviate so far from the reference's.

    Measured rather than asked for: torch takes bfloat16 or float32 by what the processor has.
    """
    return "bfloat16" if error > FLOAT32_ERROR else "float32"


def network_error(network: EGNN, device: torch.device) -> float:
    """Relative deviation of a network from its reference, by the path that it takes without being asked."""
    structures = silicon(1, device)
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    edges: Graph | edge_sums_triton.NeighbourTable = graph
    if edge_sums_triton.usable(config, h):
        edges = edge_sums_triton.neighbour_table(
            structures, config.cutoff, edge_sums_triton.NeighbourCapacity.expected(structures, config.cutoff)
        )
    with torch.no_grad():
        return _deviation(network(h, positions, edges), ReferenceEGNN(network)(h, positions, graph))


def _deviation(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True))


def neighbour_rows(device: torch.device) -> Iterator[Row]:
    """Neighbour lists, in seconds per atom, on the device where the network wants them."""
    for count in (1, 64):
        structures = silicon(count, device)
        places = edge_sums_triton.NeighbourCapacity.expected(structures, CUTOFF)

        def listed(native: str | None, structures: Structures = structures) -> Any:
            with environment({"AMSBENCH_NATIVE": native, "AMSBENCH_NATIVE_LEVEL": None}):
                return neighbour_graph(structures, CUTOFF)

        paths: dict[str, Callable[[], Any]] = {"vesin": partial(listed, "0")}
        with environment({"AMSBENCH_NATIVE": None}):
            if neighbour_list.active():
                paths["native"] = partial(listed, None)
        if device.type == "cuda" and edge_sums_triton.info()["active"]:
            paths["triton"] = partial(edge_sums_triton.neighbour_table, structures, CUTOFF, places)
        best = race(paths, device, seconds=SECONDS / 2)
        for path, seconds in best.items():
            yield Row(
                group=f"neighbour lists, {count} x {ATOMS} atoms, {CUTOFF} A",
                path=path,
                unit="atom",
                seconds=seconds / (count * ATOMS),
                ratio=best["vesin"] / seconds,
            )
