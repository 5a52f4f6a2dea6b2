"""Speed of networks and neighbour lists on this machine (``amsbench bench``).

Implementations of the same computation (paths) run in turns within one process, and the best round of each counts, so
that other load on the machine changes ratios little. FLOP are those of the cheapest dense form of the function (node
products once per atom, moments of the directions instead of Phi of every edge), the same for all paths. The native
kernel needs fewer, because it skips basis functions that are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ..benchmark.interface.structures import Structures
from ..benchmark.system.environment import environment_variables
from ..methods.egnn import edge_sums_native, edge_sums_triton
from ..methods.egnn.neighbour_table import NeighbourCapacity, NeighbourTable, neighbour_table
from ..methods.egnn.network import EGNN
from ..methods.egnn.reference import ReferenceEGNN
from ..methods.material_method import MATERIAL_NETWORKS
from ..metrics.neighbours import neighbour_list
from .timing import SECONDS, Row, flops, race

ATOMS = 256
DENSITY = ATOMS / 17.05**3
"""Atoms per A^3 of liquid silicon."""
CUTOFF = 6.5
"""Cutoff of the measured neighbour lists in A; networks have their own."""
BYTES_PER_STRUCTURE = 2**29
"""Memory of a training step of the reference on a GPU per structure, for the wide network, with a margin."""
ONE_THREAD = ", one thread"
"""Ending of the name of a path that is measured again on one thread."""
FLOAT32_ERROR = 1e-4
"""Relative deviation from the reference above the deviation of all float32 paths, and a tenth of that of paths with
bfloat16 products."""


def network_presets() -> list[str]:
    """Names of the network presets that can be measured: those with fast implementations."""
    return [name for name, config in MATERIAL_NETWORKS.items() if config.form == "standard"]


def silicon(count: int, device: torch.device, atoms: int = ATOMS) -> Structures:
    """``count`` cubic cells of silicon atoms at random positions, with the density of liquid silicon."""
    edge = (atoms / DENSITY) ** (1 / 3)
    start = Structures.empty_cells(
        (torch.eye(3) * edge).repeat(count, 1, 1), torch.full((count,), atoms), torch.zeros(count, 0)
    )
    positions = torch.rand(atoms * count, 3, generator=torch.Generator().manual_seed(0)) * edge
    return start.with_positions(positions).to(device)


PLAIN: dict[str, str | None] = {"AMSBENCH_NATIVE": "0", "AMSBENCH_TRITON": "0", "AMSBENCH_NATIVE_LEVEL": None}


def network_paths(network: EGNN, h: Tensor) -> dict[str, dict[str, str | None]]:
    """Names of the paths that can compute a network for node features ``h``, and the environment variables that select
    each."""
    paths = {"torch": PLAIN}
    if h.is_cuda:
        for products in ("float32", "bfloat16"):
            variables = PLAIN | {"AMSBENCH_TRITON": products}
            with environment_variables(variables):
                if edge_sums_triton.usable(network.config, h):
                    paths[f"triton {products}"] = variables
        return paths
    if hasattr(torch.backends.mkldnn, "matmul"):  # since torch 2.9
        paths["torch float32"] = PLAIN | {"AMSBENCH_NATIVE_LEVEL": "float32"}
    best = PLAIN | {"AMSBENCH_NATIVE": None}
    with environment_variables(best):
        if edge_sums_native.usable(network.config, h):
            paths["native float32"] = best | {"AMSBENCH_NATIVE_LEVEL": "float32"}
            kernel = edge_sums_native.info()
            if kernel["mode"] == "bfloat16":
                paths[f"native {kernel['level']}"] = best
    return paths


def network_rows(name: str, device: torch.device) -> Iterator[Row]:
    """Times of an evaluation and of a training step of one network preset, by the reference and by every path of the
    device."""
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
        with environment_variables(choices[path]), torch.set_grad_enabled(training):
            torch.set_num_threads(1 if path.endswith(ONE_THREAD) else threads)
            outputs = module(h, positions, tables.get(path, graph))
            if training:
                module.zero_grad()
                torch.stack([(out**2).mean() for out in outputs]).sum().backward()
            torch.set_num_threads(threads)
            return outputs

    capacity = NeighbourCapacity.expected(structures, config.cutoff)
    tables = {
        path: neighbour_table(structures, config.cutoff, capacity) for path in choices if "triton" in path
    }
    expected = call("reference", False)
    errors = {path: _deviation(call(path, False), expected) for path in choices}
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
    """Structures in one call: 1 on a CPU; on a GPU as many as the reference has memory for, at most 64."""
    if device.type == "cpu":
        return 1
    memory = torch.cuda.get_device_properties(device).total_memory
    return max(1, min(64, memory // BYTES_PER_STRUCTURE))


def product_type(error: float) -> str:
    """Type of the matrix products, ``bfloat16`` or ``float32``, for outputs with this relative error."""
    # the environment does not determine it: torch uses bfloat16 if the processor has it
    return "bfloat16" if error > FLOAT32_ERROR else "float32"


def network_error(network: EGNN, device: torch.device) -> float:
    """Relative deviation of the outputs of a network, by its default path, from those of the reference."""
    structures = silicon(1, device)
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden, generator=torch.Generator().manual_seed(1)).to(device)
    edges: Graph | NeighbourTable = graph
    if edge_sums_triton.usable(config, h):
        edges = neighbour_table(
            structures, config.cutoff, NeighbourCapacity.expected(structures, config.cutoff)
        )
    with torch.no_grad():
        return _deviation(network(h, positions, edges), ReferenceEGNN(network)(h, positions, graph))


def _deviation(outputs: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Largest relative deviation of an output, in the Euclidean norm."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(outputs, expected, strict=True))


def neighbour_rows(device: torch.device) -> Iterator[Row]:
    """Times of neighbour lists per atom, on the device on which the network needs them."""
    for count in (1, 64):
        structures = silicon(count, device)
        capacity = NeighbourCapacity.expected(structures, CUTOFF)

        def build_list(native: str | None, structures: Structures = structures) -> Any:
            with environment_variables({"AMSBENCH_NATIVE": native, "AMSBENCH_NATIVE_LEVEL": None}):
                return neighbour_graph(structures, CUTOFF)

        paths: dict[str, Callable[[], Any]] = {"vesin": partial(build_list, "0")}
        with environment_variables({"AMSBENCH_NATIVE": None}):
            if neighbour_list.active():
                paths["native"] = partial(build_list, None)
        if device.type == "cuda" and edge_sums_triton.info()["active"]:
            paths["triton"] = partial(neighbour_table, structures, CUTOFF, capacity)
        best = race(paths, device, seconds=SECONDS / 2)
        for path, seconds in best.items():
            yield Row(
                group=f"neighbour lists, {count} x {ATOMS} atoms, {CUTOFF} A",
                path=path,
                unit="atom",
                seconds=seconds / (count * ATOMS),
                ratio=best["vesin"] / seconds,
            )
