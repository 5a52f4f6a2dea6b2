"""What a stopped command has stored, with changed bytes: refused, done again, or the same as before."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from amsbench.benchmark.generation.partial_results import FinishedPart, PartialResults
from amsbench.benchmark.sweep.plan import read_sweep
from amsbench.benchmark.system.compact_structures import read_compact, write_compact
from amsbench.benchmark.training.resume_state import read_state, write_state

RANDOM = st.randoms(use_true_random=True)
FRAMES = [Atoms("SiO2", np.arange(9.0).reshape(3, 3), cell=[9.0, 9.0, 9.0], pbc=True)] * 2
PLAN = """
[[runs]]
methods = ["material-ode", "amshortcut"]
datasets = ["asi", "asio2"]
protocols = ["quick"]
seeds = [0, 1]
steps = [1, 5]
samplers = ["all"]
count = 4

[[runs]]
methods = ["nearest-training"]
datasets = ["asio2"]
plans = ["ring_size"]
metrics = ["density"]
"""


@given(random=RANDOM)
def test_batches_of_structures(random, changes, right_or_refused, tmp_path):
    """A damaged batch is generated again; one that is read is the one that was stored."""
    partial = PartialResults(tmp_path)
    partial.write("0-2", FinishedPart(FRAMES, 1.0, 2.0))
    path = tmp_path / "0-2.npz"
    path.write_bytes(changes.bytes(random, path.read_bytes()))
    part = right_or_refused(lambda: partial.read("0-2"))
    if part is not None:
        assert [atoms.positions.tobytes() for atoms in part.frames] == [a.positions.tobytes() for a in FRAMES]
        assert (part.seconds, part.cpu_seconds) == (1.0, 2.0)


@given(random=RANDOM)
def test_states_of_trainings(random, changes, right_or_refused, tmp_path):
    import torch

    weights = torch.arange(100.0)
    write_state(tmp_path, {"weights": weights, "settings": "{}", "step": 3})
    path = tmp_path / "resume.pt"
    path.write_bytes(changes.bytes(random, path.read_bytes()))
    state = right_or_refused(lambda: read_state(tmp_path), str(path))
    if state is not None:
        assert torch.equal(state["weights"], weights)
        assert (state["settings"], state["step"]) == ("{}", 3)


@given(random=RANDOM)
def test_compact_structures(random, changes, right_or_refused, tmp_path):
    path = tmp_path / "some.npz"
    write_compact(path, FRAMES)
    expected = read_compact(path)
    path.write_bytes(changes.bytes(random, path.read_bytes()))
    frames = right_or_refused(lambda: read_compact(path), str(path))
    if frames is not None:
        assert [atoms.positions.tobytes() for atoms in frames] == [a.positions.tobytes() for a in expected]


@given(random=RANDOM)
def test_plans_of_many_runs(random, changes, right_or_refused, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(changes.bytes(random, PLAN.encode()))
    right_or_refused(lambda: read_sweep(path))


@given(random=RANDOM)
def test_values_of_plans(random, changes, right_or_refused, tmp_path):
    """Values of a plan replaced by others, in the places where its numbers and names are."""
    words = [
        "-1",
        "1e30",
        "nan",
        '""',
        '"../x"',
        "[]",
        "[[1]]",
        "{}",
        "true",
        "1979-05-27",
        "10" * 30,
        '"\\u0000"',
    ]
    lines = PLAN.splitlines()
    for _ in range(random.randint(1, 3)):
        k = random.choice([k for k, line in enumerate(lines) if "=" in line])
        name = lines[k].partition(" =")[0]
        lines[k] = f"{random.choice([name, name, 'other'])} = {random.choice(words)}"
    path = tmp_path / "plan.toml"
    path.write_text("\n".join(lines))
    right_or_refused(lambda: read_sweep(path))


@pytest.mark.parametrize("brackets", ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000])
def test_data_within_data_without_end(brackets, right_or_refused, tmp_path):
    """Files whose lists or tables are nested more deeply than Python can read."""
    from amsbench.benchmark.datasets.storage import bundled_path, read_packed
    from amsbench.benchmark.runs.results import read_result
    from amsbench.benchmark.system.checked_files import read_npz, write_npz

    result = tmp_path / "result.json"
    result.write_text(brackets)
    assert right_or_refused(lambda: read_result(result), str(result)) is None
    plan = tmp_path / "plan.toml"
    plan.write_text(f"runs = {brackets}")
    assert right_or_refused(lambda: read_sweep(plan), str(plan)) is None
    data = tmp_path / "data.npz"
    write_npz(data, {**read_npz(bundled_path("asio2_paper")), "metadata": np.array(brackets)})
    assert right_or_refused(lambda: read_packed(data), str(data)) is None
