"""``amsbench bench``: FLOP, timing, extrapolation, output and errors."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from amsbench.benchmark.datasets.dataset import task_of
from amsbench.benchmark.datasets.storage import load_dataset
from amsbench.benchmark.interface.neighbour_graph import Graph
from amsbench.benchmark.system.environment import environment_variables
from amsbench.benchmark.training.trainer import Trainer
from amsbench.cli import main, speed
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.egnn import edge_sums_native, edge_sums_torch
from amsbench.methods.egnn.config import EGNNConfig
from amsbench.methods.egnn.network import EGNN
from amsbench.methods.egnn.reference import ReferenceEGNN
from amsbench.methods.material_method import MATERIAL_NETWORKS
from amsbench.speed import network, pipeline, report, timing

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def regular_graph(atoms, degree):
    """Every atom has the same number of neighbours, so that groups of the torch implementation have no padding."""
    generator = torch.Generator().manual_seed(0)
    count = atoms * degree
    return Graph(
        receivers=torch.arange(atoms).repeat_interleave(degree),
        senders=torch.randint(0, atoms, (count,), generator=generator),
        shifts=torch.randn(count, 3, generator=generator),
    )


def product(into, a, b, *_, **__):
    """FLOP of products that torch does not count, from the shapes of their arguments."""
    return 2 * a[0] * a[1] * (b[1] if len(b) > 1 else 1)


UNKNOWN = {torch.ops.aten.addmm_: product, torch.ops.aten.addmv: product}


def counted(function):
    with FlopCounterMode(display=False, custom_mapping=UNKNOWN) as counter:
        function()
    return counter.get_total_flops()


# -- FLOP -----------------------------------------------------------------------------------------


def test_flops_of_one_layer_by_hand():
    """A single layer has one channel in and out, hence no invariants and the 3 components of one direction."""
    h, radial, atoms, edge_count = 32, 32, 5, 70
    both_mlps_on_the_basis = radial * 2 * h
    message, gate, weighted_sum = h * h, h, h
    moments = 3 * h
    receiver_and_sender = 2 * (h * 2 * h)
    node_mlp = 2 * h * h + h * h
    phi_of_the_moments = 3 * h
    products = edge_count * (both_mlps_on_the_basis + message + gate + weighted_sum + moments)
    products += atoms * (receiver_and_sender + node_mlp + phi_of_the_moments)
    config = EGNNConfig(hidden=h, layers=1, radial=radial)
    assert timing.flops(config, atoms, edge_count) == 2 * products


@pytest.mark.parametrize("edge_features", ["radial", "tanh"])
def test_flops_are_those_of_the_products(monkeypatch, edge_features):
    """The torch implementation computes the products of the cheapest form, and a thousandth more for biases."""
    monkeypatch.setitem(edge_sums_torch.CHUNK, "cpu", 2048)
    monkeypatch.setenv("AMSBENCH_NATIVE", "0")
    config = EGNNConfig(hidden=32, layers=3, edge_features=edge_features)
    model, graph = EGNN(config), regular_graph(64, 32)
    h, x = torch.randn(64, 32), torch.randn(64, 3)
    with torch.no_grad():
        counted_flops = counted(lambda: model(h, x, graph))
    assert timing.flops(config, 64, 64 * 32) == pytest.approx(counted_flops, rel=0.003)


def test_a_gradient_costs_three_times_the_products():
    config = EGNNConfig(hidden=32, layers=2)
    model, graph = ReferenceEGNN(EGNN(config)), regular_graph(16, 16)
    h, x = torch.randn(16, 32), torch.randn(16, 3)

    def step():
        a, b = model(h, x, graph)
        (a.sum() + b.sum()).backward()

    ratio = timing.flops(config, 16, 256, training=True) / timing.flops(config, 16, 256)
    assert ratio == pytest.approx(counted(step) / counted(lambda: model(h, x, graph)), rel=0.02)


def test_expected_edges_of_an_ideal_gas():
    structures = network.silicon(4, CPU)
    edges = len(network.neighbour_graph(structures, network.CUTOFF).receivers) / 4
    volume = float(torch.linalg.det(structures.cells[0]))
    assert timing.expected_edges(256, volume, network.CUTOFF) == pytest.approx(edges, rel=0.03)


def test_a_row_against_the_peak():
    row = timing.Row(group="g", path="p", unit="call", seconds=2.0, work=6e9, products="bfloat16")
    numbers = row.against({"float32": 1e9, "bfloat16": 12e9})
    assert numbers == {"gflops": 3.0, "share": 0.25, "limit": 0.5}
    bare = timing.Row(group="g", path="p", unit="call", seconds=2.0)
    assert bare.against({}) == {"gflops": None, "share": None, "limit": None}


# -- timing -----------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """Replaces the clock: returns a maker of functions that advance it by given seconds, and the log of their calls."""
    now, calls = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def takes(name, *seconds):
        left = list(seconds)

        def function():
            calls.append(name)
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return function

    return takes, calls


def test_race_takes_the_best_round_of_every_path_but_the_first(clock):
    takes, calls = clock
    paths = {"a": takes("a", 0.125, 0.5, 0.25, 0.75), "b": takes("b", 3.0, 1.0, 2.0, 1.5)}
    assert timing.race(paths, CPU, rounds=3, seconds=0.0) == {"a": 0.25, "b": 1.0}
    assert calls == ["a", "b"] * 4


def test_race_lasts_at_least_the_given_seconds(clock):
    takes, calls = clock
    timing.race({"a": takes("a", 0.25)}, CPU, rounds=1, seconds=1.0)
    assert len(calls) == 1 + 4


def test_race_of_slow_paths_ends_after_two_rounds(clock):
    takes, calls = clock
    timing.race({"a": takes("a", 2 * timing.LONGEST)}, CPU)
    assert len(calls) == 1 + 2


# -- the rows ------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    for module in (timing, network, pipeline):
        monkeypatch.setattr(module, "SECONDS", 0.01)
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(timing, "PEAK_SIZES", {"cpu": (64,), "cuda": (64,)})


def test_network_rows_compare_every_path_with_the_reference(monkeypatch, quick):
    monkeypatch.setitem(MATERIAL_NETWORKS, "tiny", EGNNConfig(hidden=32, layers=2))
    before = dict(os.environ)
    rows = list(network.network_rows("tiny", CPU))
    assert dict(os.environ) == before
    paths = [row.path for row in rows[: len(rows) // 2]]
    assert paths[:2] == ["reference", "torch"]
    assert [row.path for row in rows[len(paths) :]] == paths
    with environment_variables({"AMSBENCH_NATIVE": None, "AMSBENCH_NATIVE_LEVEL": None}):
        kernel = edge_sums_native.info()
    assert ("native float32" in paths) == kernel["active"]
    by_path = {row.path: row for row in rows[: len(paths)]}
    assert by_path["reference"].ratio == 1.0
    assert by_path["torch float32"].error < network.FLOAT32_ERROR
    if kernel["mode"] == "bfloat16":
        best = by_path[f"native {kernel['level']}"]
        assert network.FLOAT32_ERROR < best.error < 0.02
        assert best.products == "bfloat16"
        assert by_path["native float32"].products == "float32"
    assert rows[len(paths)].work == 3 * rows[0].work


@pytest.mark.skipif(not edge_sums_native.info()["active"], reason="no native kernel")
def test_several_threads_are_compared_with_one(monkeypatch, quick):
    monkeypatch.setitem(MATERIAL_NETWORKS, "tiny", EGNNConfig(hidden=32, layers=2))
    torch.set_num_threads(2)  # the fixture one_thread restores it after the test
    seen = []
    for row in network.network_rows("tiny", CPU):
        seen.append(row.path)
        assert torch.get_num_threads() == 2
    assert seen.count(seen[-1]) == 2
    assert seen[-1] == f"{seen[-2]}, one thread"


def test_no_native_rows_where_the_kernel_does_not_apply():
    model = EGNN(EGNNConfig(hidden=32, layers=1, edge_features="tanh"))
    assert not [path for path in network.network_paths(model, torch.zeros(1, 32)) if "native" in path]


@pytest.mark.parametrize(("cost", "parts"), [(0.01, (1_500, 4)), (1e-6, (None, None))])
def test_generation_is_extrapolated_from_what_time_allows(monkeypatch, cost, parts):
    """``cost``: seconds of a network evaluation of one structure."""
    monkeypatch.setitem(pipeline.GENERATING, "cpu", 15.0)
    monkeypatch.setitem(pipeline.ATOMS_PER_BATCH, "cpu", 1_024)
    requests = []

    def generate(method, *, cells, counts, steps, sampler):
        requests.append((method.name, len(cells), steps))
        return SimpleNamespace(seconds=len(cells) * steps * cost)

    monkeypatch.setattr(pipeline, "generate_structures", generate)
    rows = list(pipeline.generation_rows(CPU))
    assert [row.seconds for row in rows[::2]] == [132.0, 3.6 * 3600]
    for row, steps, part in zip(rows[1::2], (1, 250), parts, strict=True):
        assert row.seconds == pytest.approx(10_000 * steps * cost)
        assert row.part == part
        assert row.ratio == pytest.approx(pipeline.PAPER_SECONDS[steps] / row.seconds)
        assert row.work == pytest.approx(steps * rows[1].work)
    assert requests[1] == ("amshortcut", parts[0] or 10_000, 1)
    assert requests[3] == ("material-sde", parts[1] or 10_000, 250)


def test_training_steps_are_real_and_leave_nothing_behind(monkeypatch, quick, tmp_path):
    monkeypatch.chdir(tmp_path)
    losses, update = [], Trainer.update

    def watched(self, samples):
        update(self, samples)
        losses.append(dict(self.window.last))
        assert len(samples) == 2

    monkeypatch.setattr(Trainer, "update", watched)
    dataset = load_dataset("asi")
    task = task_of(dataset, ())
    config = AMShortcut.default_config("standard", task) | {"consistency_share": 1.0}
    config["network"] |= {"hidden": 32, "layers": 1, "cutoff": 3.0}
    seconds, data = pipeline._trained(AMShortcut(task, config), dataset, 2, CPU)
    assert 0 < data < seconds
    assert len(losses) >= 10
    assert all("consistency" in parts for parts in losses)  # beyond the warm-up
    assert list(tmp_path.iterdir()) == []


def test_curves_are_those_of_ase(monkeypatch, quick):
    monkeypatch.setattr(pipeline, "STRUCTURES", 20)
    monkeypatch.setattr(pipeline, "local_pool", ThreadPoolExecutor)
    rows = list(pipeline.curve_rows(2))
    assert rows[0].part == 1
    assert [row.path.split(", ")[-1] for row in rows[-2:]] == ["one process", "2 processes"]
    assert all(row.error < 1e-9 and row.ratio > 1 for row in rows[-2:])


# -- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """A function that runs the command in this process and an empty folder; returns exit code, output and messages."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["amsbench", "bench", *map(str, arguments)])
        try:
            main.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


def test_table_and_json(bench, quick, tmp_path):
    output = tmp_path / "new" / "speed.json"
    code, out, err = bench("--device", "cpu", "--cores", 1, "--only", "neighbours", "--output-file", output)
    assert code == 0, err
    stored = json.loads(output.read_text())
    assert set(stored) == {"environment", "peaks", "rows"}
    assert stored["environment"]["threads"] == 1
    assert stored["environment"]["versions"]["torch"] == torch.__version__
    assert all(stored["peaks"][name] > 0 for name in ("float32", "bfloat16"))
    fields = {*timing.Row.__dataclass_fields__, "gflops", "share", "limit"}
    assert {row["path"] for row in stored["rows"]} >= {"vesin"}
    for row in stored["rows"]:
        assert set(row) == fields
        line = f"{row['path']}, {report.format_time(row['seconds'])}/atom"
        assert f"{row['group']}: {line}" in err
        assert row["group"] in out
    assert torch.__version__ in out
    assert "measured peak" in out
    assert [path.name for path in output.parent.iterdir()] == ["speed.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "gpu"), ("'gpu'", "cpu, cuda")),
        (("--presets", "nonsense"), ("'nonsense'", "standard, deep, wide")),
        (("--presets", "standart"), ("'standart'", "did you mean 'standard'?")),
        (("--only", "nonsense"), ("'nonsense'", "network, neighbours, generation")),
        (("--only", "files,nonsense"), ("'nonsense'",)),
        (("--only", ","), ("','", "network, neighbours, generation")),
        (("--output-file", "/proc/x/y.json"), ("/proc/x", "choose another output folder")),
        (("--output-file", "."), ("--output-file", "folder")),
    ],
)
def test_mistakes_are_reported_before_anything_is_measured(bench, monkeypatch, tmp_path, arguments, words):
    monkeypatch.setattr(timing, "peaks", lambda device: pytest.fail("it measured"))
    more = () if "--output-file" in arguments else ("--output-file", tmp_path / "new" / "speed.json")
    code, out, err = bench(*arguments, *more)
    assert code == 2
    assert out == ""
    assert err.startswith("amsbench: ")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_device(bench):
    code, _, err = bench("--device", "cuda")
    assert code == 2
    assert "no CUDA device" in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.6 * 3600, "3.60 h"),
        (132.0, "132 s"),
        (5399.0, "5,399 s"),
        (1.0, "1.00 s"),
        (0.01234, "12.3 ms"),
        (9.996e-4, "1,000 us"),
        (2.1e-7, "210 ns"),
    ],
)
def test_times_have_three_digits_and_a_unit(seconds, text):
    assert report.format_time(seconds) == text


def test_every_group_has_a_measurement(capsys):
    makers = list(speed.makers(tuple(speed.GROUPS), ("standard", "wide"), CPU))
    assert len(makers) == len(speed.GROUPS) + 1
    assert np.all([callable(maker) for maker in makers])
    assert len(list(speed.makers(("files",), ("standard",), CPU))) == 1
