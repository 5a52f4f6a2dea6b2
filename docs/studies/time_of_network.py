"""Where the time of a message-passing network goes on a processor, for every instruction set that it has.

    python docs/studies/time_of_network.py [NETWORK [STRUCTURES]]

Evaluation and gradient of STRUCTURES (1) cells of 256 silicon atoms by a preset (``deep``), one thread. Prints the
least processor time of each part in milliseconds per structure: the native kernel, layer by layer, and everything else,
which is torch. Shares are of the peak of float32 products, or of bfloat16 products for the levels that have them, both
with FLOP counted and peaks measured as by ``amsbench bench``.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
from tabulate import tabulate

from amsbench.benchmark.interface.neighbour_graph import neighbour_graph
from amsbench.methods.egnn import edge_sums_native
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.material_method import MATERIAL_NETWORKS
from amsbench.methods.product_precision import BFLOAT16
from amsbench.speed.network import silicon
from amsbench.speed.timing import flops, peaks

ROUNDS = 40


def seconds(level: str, name: str, count: int, training: bool) -> tuple[float, float, float, float]:
    """Least seconds per structure of the kernel forward, the kernel backward and the rest, and useful FLOP."""
    os.environ["AMSBENCH_NATIVE_LEVEL"] = level
    torch.manual_seed(0)
    network, structures = EGNN(MATERIAL_NETWORKS[name]), silicon(count, torch.device("cpu"))
    config, positions = network.config, structures.positions
    graph = neighbour_graph(structures, config.cutoff)
    h = torch.randn(len(positions), config.hidden)
    run, calls = edge_sums_native._Call.run, []

    def timed(self: Any, jobs: Any, backward: bool) -> None:
        start = time.thread_time()
        run(self, jobs, backward)
        calls.append((backward, time.thread_time() - start))

    edge_sums_native._Call.run = timed  # type: ignore[method-assign]
    kernel: list[tuple[bool, float]] = []
    rest = float("inf")
    try:
        for _ in range(ROUNDS):
            calls.clear()
            start = time.thread_time()
            with torch.set_grad_enabled(training):
                outputs = network(h, positions, graph)
                if training:
                    network.zero_grad()
                    torch.stack([(out**2).mean() for out in outputs]).sum().backward()
            whole = time.thread_time() - start
            rest = min(rest, whole - sum(spent for _, spent in calls))
            # the least time of each call, because a busy machine interrupts long calculations
            kernel = [(b, min(s, t)) for (b, s), (_, t) in zip(kernel or calls, calls, strict=True)]
    finally:
        edge_sums_native._Call.run = run  # type: ignore[method-assign]
    forward, backward = (sum(t for b, t in kernel if b is which) / count for which in (False, True))
    work = flops(config, len(positions), len(graph.receivers), training=training) / count
    return forward, backward, rest / count, work


def main(name: str = "deep", count: str = "1") -> None:
    """Print the table."""
    torch.set_num_threads(1)
    peak, rows = peaks(torch.device("cpu")), []
    for level in edge_sums_native.LIBRARY.available_levels:
        if level == "plain":
            continue
        for training in (False, True):
            forward, backward, rest, work = seconds(level, name, int(count), training)
            whole = forward + backward + rest
            share = work / whole / peak["bfloat16" if level in BFLOAT16 else "float32"]
            parts = (f"{1e3 * t:.1f}" for t in (forward, backward, rest, whole))
            rows.append([level, "training" if training else "evaluation", *parts, f"{100 * share:.0f} %"])
    headers = ["level", "", "kernel forward", "kernel backward", "torch", "all", "of peak"]
    print(tabulate(rows, headers=headers, tablefmt="github"))
    print(", ".join(f"{kind} {speed / 1e9:.0f} GFLOP/s" for kind, speed in peak.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
