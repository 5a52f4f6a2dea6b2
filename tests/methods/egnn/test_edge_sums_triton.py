"""The GPU's kernels: in Triton's interpreter on the CPU, compiled for GPUs, and on a GPU if there is one."""

import os
import subprocess
import sys

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call

from amsbench.benchmark.interface.neighbour_graph import Graph, neighbour_graph
from amsbench.benchmark.interface.noise import StructureNoise
from amsbench.benchmark.interface.structures import Structures
from amsbench.errors import AmsbenchError
from amsbench.methods.denoiser import FlexibleDenoiser
from amsbench.methods.egnn import edge_sums_triton
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.derivatives import differentiable
from amsbench.methods.egnn.neighbour_table import EDGES, NeighbourCapacity, NeighbourTable, neighbour_table
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.reference import ReferenceEGNN, reference_weights
from amsbench.methods.material_sde import MaterialSDE
from amsbench.methods.state import State

pytest.importorskip("triton")
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
CUTOFF = 4.4
SMALL = EGNNConfig(hidden=32, layers=3, cutoff=CUTOFF, radial=16)


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    monkeypatch.setenv("AMSBENCH_TRITON", "float32")


def cells_of(*cells):
    """Structures with a few atoms in each cell, some of them outside the cell."""
    matrices = torch.tensor(cells, dtype=torch.float32)
    counts = torch.arange(len(cells)) * 3 + 4
    start = Structures.empty_cells(matrices, counts, torch.zeros(len(cells), 0))
    positions = torch.rand(int(counts.sum()), 3, generator=torch.Generator().manual_seed(1)) * 14 - 4
    return start.with_positions(positions).to(DEVICE)


@pytest.fixture
def structures():
    return cells_of(
        [[9, 0, 0], [0, 9, 0], [0, 0, 9]],
        [[5, 0, 0], [4, 5, 0], [1, -2, 6]],  # skewed
        [[3, 0, 0], [0, 10, 0], [0, 0, 10]],  # thinner than the cutoff
        [[0, 6, 0], [6, 0, 0], [0, 0, 6]],  # left-handed
    )


def edges_of(table):
    rows = []
    for i, count in enumerate(table.counts.tolist()):
        for k in range(count):
            rows.append((i, int(table.senders[i, k]), *table.geometry[:3, i, k].tolist()))
    return torch.tensor(sorted((i, j, *(round(v, 2) + 0.0 for v in shift)) for i, j, *shift in rows))


def test_neighbour_table_has_the_edges_of_the_graph(structures):
    capacity = NeighbourCapacity.expected(structures, CUTOFF)
    table = neighbour_table(structures, CUTOFF, capacity)
    graph = neighbour_graph(structures, CUTOFF)
    expected = sorted(
        (int(i), int(j), *(round(v, 2) + 0.0 for v in shift.tolist()))
        for i, j, shift in zip(graph.receivers, graph.senders, graph.shifts, strict=True)
    )
    assert torch.allclose(edges_of(table), torch.tensor(expected), atol=0.011)
    assert capacity.check()
    distances = graph.vectors(structures.positions).norm(dim=1).cpu()
    filled = torch.arange(table.capacity) < table.counts.cpu()[:, None]
    assert torch.allclose(table.geometry[3].cpu()[filled].sort().values, distances.sort().values, atol=1e-4)


def test_a_table_that_is_too_small_is_detected_and_enlarged():
    crowded = cells_of([[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    capacity = NeighbourCapacity(capacity=EDGES)
    neighbour_table(crowded, 2 * CUTOFF, capacity)
    assert not capacity.check()
    neighbour_table(crowded, 2 * CUTOFF, capacity)
    assert capacity.check()


def network(config):
    torch.manual_seed(0)
    egnn = EGNN(config)
    for layer in egnn.layers:
        torch.nn.init.normal_(layer.shift.weight, std=0.2)
        torch.nn.init.normal_(layer.shift.bias, std=0.2)
    return egnn.to(DEVICE)


def outputs_and_gradients(function, module, h, positions, graph):
    h = h.clone().requires_grad_()
    outputs = function(h, positions, graph)
    signs = [
        torch.randn(out.shape, generator=torch.Generator().manual_seed(k)) for k, out in enumerate(outputs)
    ]
    loss = sum((out * sign.to(DEVICE)).sum() for out, sign in zip(outputs, signs, strict=True))
    parameters = [p for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, [h, *parameters], allow_unused=True)
    return outputs, grads


def error(ours, theirs):
    return float((ours - theirs).detach().norm() / theirs.detach().norm().clamp(min=1e-6))


@pytest.mark.parametrize(
    ("mode", "tolerance", "of_gradients"), [("float32", 2e-5, 2e-5), ("bfloat16", 1e-2, 3e-2)]
)
@pytest.mark.parametrize("config", [SMALL, EGNNConfig(hidden=32, layers=2, cutoff=CUTOFF, channels=5)])
def test_network_and_its_gradients(monkeypatch, structures, config, mode, tolerance, of_gradients):
    egnn = network(config)
    h = torch.randn(len(structures.positions), config.hidden, generator=torch.Generator().manual_seed(3)).to(
        DEVICE
    )
    graph = neighbour_graph(structures, CUTOFF)
    reference = ReferenceEGNN(egnn)

    def oracle_of(*arguments):
        return functional_call(reference, reference_weights(egnn), arguments)

    expected, expected_grads = outputs_and_gradients(oracle_of, egnn, h, structures.positions, graph)
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    plain, plain_grads = outputs_and_gradients(egnn, egnn, h, structures.positions, graph)
    monkeypatch.setenv("AMSBENCH_TRITON", mode)
    table = neighbour_table(structures, CUTOFF, NeighbourCapacity.expected(structures, CUTOFF))
    outputs, grads = outputs_and_gradients(egnn, egnn, h, structures.positions, table)
    for ours, theirs, oracle in zip(outputs, plain, expected, strict=True):
        assert error(ours, theirs) < tolerance
        assert error(ours, oracle) < tolerance
    for ours, theirs, oracle in zip(grads, plain_grads, expected_grads, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is None:
            assert oracle is None or not oracle.any()
        else:
            assert error(ours, theirs) < of_gradients
            assert error(ours, oracle) < of_gradients


def test_gradients_of_the_positions(structures):
    """Gradients with respect to the position channels of a layer in the middle of the network."""
    egnn, graph = network(SMALL), neighbour_graph(structures, CUTOFF)
    table = neighbour_table(structures, CUTOFF, NeighbourCapacity.expected(structures, CUTOFF))
    h = torch.randn(len(structures.positions), SMALL.hidden).to(DEVICE)
    layer = egnn.layers[1]
    x = torch.randn(len(h), 8, 3, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    gradients = []
    for neighbours in (graph, table):
        at = x.clone().requires_grad_()
        sums = egnn.edge_sums(neighbours, structures.positions, h)
        out_h, out_x = layer(h, at, sums)
        gradients.append(torch.autograd.grad(out_h.sum() + (out_x**2).sum(), at)[0])
    assert error(gradients[1], gradients[0]) < 2e-5


def test_derivatives_that_the_kernels_lack_are_refused(structures):
    egnn, h = network(SMALL), torch.randn(len(structures.positions), SMALL.hidden).to(DEVICE)
    positions = structures.positions.clone().requires_grad_()
    table = neighbour_table(structures, CUTOFF, NeighbourCapacity.expected(structures, CUTOFF))
    h.requires_grad_()
    features, shift = egnn(h, positions, table)
    (gradient,) = torch.autograd.grad(features.sum() + shift.sum(), h, create_graph=True)
    with pytest.raises(AmsbenchError, match="second derivatives"):
        torch.autograd.grad(gradient.sum(), h, retain_graph=True)
    with pytest.raises(AmsbenchError, match="with respect to positions"):
        torch.autograd.grad(shift.sum(), positions)
    with forward_ad.dual_level(), pytest.raises(AmsbenchError, match="forward-mode derivatives"):
        egnn(forward_ad.make_dual(h.detach(), h.detach()), structures.positions, table)
    with differentiable(), pytest.raises(AmsbenchError, match="neighbour table"):
        egnn(h, positions, table)


def test_a_differentiable_denoiser_uses_the_graph_instead_of_the_table(silicon, structures):
    denoiser = FlexibleDenoiser(silicon, SMALL).to(DEVICE)
    assert isinstance(denoiser.neighbours(structures), NeighbourTable)
    with differentiable():
        assert isinstance(denoiser.neighbours(structures), Graph)


def test_samples_agree_with_those_of_the_torch_code(monkeypatch, silica):
    """For the same noise, samples with and without the kernels differ by rounding only."""
    torch.manual_seed(0)
    config = MaterialSDE.default_config("standard", silica)
    config["network"] |= {"hidden": 32, "layers": 2, "radial": 16}
    method = MaterialSDE(silica, config).to(DEVICE).eval()
    start = Structures.empty_cells(
        torch.eye(3)[None] * 6.0, torch.tensor([23]), torch.full((1, 2), torch.nan)
    ).to(DEVICE)
    samples = []
    with torch.no_grad():
        for mode in ("0", "float32"):
            monkeypatch.setenv("AMSBENCH_TRITON", mode)
            samples.append(method.sample(start, 2, "ancestral", StructureNoise([23], [1], DEVICE)))
            backend = method.backend()
    assert backend == "triton float32"
    assert torch.allclose(samples[0].positions, samples[1].positions, atol=1e-3)
    assert torch.equal(samples[0].species, samples[1].species)


def test_sampling_is_repeated_if_a_table_was_too_small(monkeypatch, silicon):
    torch.manual_seed(0)
    config = MaterialSDE.default_config("standard", silicon)
    config["network"] |= {"hidden": 32, "layers": 2, "radial": 16, "cutoff": CUTOFF}
    method = MaterialSDE(silicon, config).to(DEVICE).eval()
    start = Structures.empty_cells(torch.eye(3)[None] * 6.0, torch.tensor([20]), torch.zeros(1, 0)).to(DEVICE)
    with torch.no_grad():
        expected = method.sample(start, 1, "ode", StructureNoise([20], [1], DEVICE))
        monkeypatch.setattr(
            NeighbourCapacity,
            "expected",
            classmethod(lambda cls, *_: cls(capacity=EDGES // 4)),
        )
        repeated = method.sample(start, 1, "ode", StructureNoise([20], [1], DEVICE))
    assert torch.allclose(repeated.positions, expected.positions, atol=1e-5)


def test_a_step_never_waits_for_the_device(silicon):
    """No operation of a prediction copies a number from the device to Python."""
    from torch.utils._python_dispatch import TorchDispatchMode

    waits = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2")

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            assert function.overloadpacket.__name__ not in waits, function
            return function(*args, **(kwargs or {}))

    denoiser = FlexibleDenoiser(silicon, SMALL).to(DEVICE)
    state = State(structures=cells_of([[9, 0, 0], [0, 9, 0], [0, 0, 9]]), elements=None)
    time = torch.full((1,), 0.5, device=DEVICE)
    with torch.no_grad(), denoiser.deferred_overflow_check(state.structures):
        with Watch():
            first = denoiser(state, torch.zeros(1, 0, device=DEVICE), time, time * 0)
        second = denoiser(state, torch.zeros(1, 0, device=DEVICE), time, time * 0)
    assert torch.allclose(first.positions, second.positions, atol=1e-6)


def test_device_noise_belongs_to_the_structure():
    from amsbench.benchmark.interface.noise_triton import DeviceNoise

    both, alone = DeviceNoise([300, 500], [7, 2**62 + 5], DEVICE), DeviceNoise([500], [2**62 + 5], DEVICE)
    first = both.normal_atoms(3)
    assert torch.equal(first[300:], alone.normal_atoms(3))
    assert torch.equal(both.uniform_structures(4)[1:], alone.uniform_structures(4))
    assert not torch.equal(both.normal_atoms(3), first)
    assert torch.equal(both.restarted().normal_atoms(3), first)


def test_device_noise_is_normal_and_uniform():
    from amsbench.benchmark.interface.noise_triton import DeviceNoise

    noise = DeviceNoise([4000], [3], DEVICE)
    z, u = noise.normal_atoms(3).double().cpu(), noise.uniform_atoms(3).double().cpu()
    # five standard errors of 12,000 numbers each
    assert abs(float(z.mean())) < 5 / 12000**0.5
    assert abs(float((z**2).mean()) - 1) < 5 * (2 / 12000) ** 0.5
    assert abs(float((z**4).mean()) - 3) < 5 * (96 / 12000) ** 0.5
    assert abs(float((z[1:] * z[:-1]).mean())) < 5 / 12000**0.5
    assert 0 <= float(u.min()) < 0.01
    assert 0.99 < float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 5 * (1 / 12 / 12000) ** 0.5


def test_an_unknown_mode_is_an_error_of_one_sentence(monkeypatch):
    monkeypatch.setenv("AMSBENCH_TRITON", "float16")
    with pytest.raises(AmsbenchError, match="AMSBENCH_TRITON is 'float16'"):
        edge_sums_triton.info()


def test_without_a_device_the_reason_is_given(monkeypatch):
    monkeypatch.delenv("AMSBENCH_TRITON")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert edge_sums_triton.info() == {"active": False, "mode": None, "reason": "no CUDA device"}
    monkeypatch.setenv("AMSBENCH_TRITON", "0")
    assert "AMSBENCH_TRITON=0" in edge_sums_triton.info()["reason"]


COMPILE = """
import warnings
warnings.simplefilter("ignore")  # of Triton itself
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from amsbench.benchmark.interface import noise_triton
from amsbench.methods.egnn.triton_backward import message_backward, shift_backward
from amsbench.methods.egnn.triton_forward import layer_forward
from amsbench.methods.egnn.triton_neighbours import neighbour_table

bf16 = triton.language.bfloat16
layer = dict(HIDDEN={hidden}, RADIAL=32, CHANNELS=8, EDGES=32, TYPE=bf16, DOT=bf16)
jobs = [
    (layer_forward, dict(layer, OUTGOING=8)),
    (layer_forward, dict(layer, CHANNELS=1, OUTGOING=16)),
    (message_backward, dict(layer, NEED_X=True)),
    (shift_backward, dict(layer, OUTGOING=2, NEED_X=True)),
    (neighbour_table, dict(BLOCK=128)),
    (noise_triton.random_numbers, dict(BLOCK=512, NORMAL=True)),
]
integers = "plane capacity nodes call total width".split()
types = dict.fromkeys(integers, "i32") | dict(cutoff="fp32", spacing="fp32", senders="*i32", counts="*i32")
types |= dict(images="*i32", offsets="*i64", batch="*i64", seeds="*i64")
types |= dict(edge_w="*bf16", message_w="*bf16", shift_w="*bf16")
for kernel, constants in jobs:
    signature = {{
        name: "constexpr" if name in constants else types.get(name, "*fp32") for name in kernel.arg_names
    }}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = dict(num_warps={warps}, num_stages=1)
    compiled = triton.compile(source, target=GPUTarget("cuda", {capability}, 32), options=options)
    print(kernel.__name__, compiled.metadata.shared, len(compiled.asm["cubin"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux only")
@pytest.mark.parametrize(("capability", "hidden", "warps"), [(80, 64, 4), (90, 64, 4), (90, 128, 8)])
def test_kernels_compile_for_gpus(tmp_path, capability, hidden, warps):
    """Compilation to machine code needs no GPU; the kernels fit into the shared memory of all GPUs since 2020."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    code = COMPILE.format(capability=capability, hidden=hidden, warps=warps)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"TRITON_CACHE_DIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert len(lines) == 6
    assert all(int(shared) <= 99 * 1024 and int(size) > 0 for _, shared, size in lines)
