"""Training steps on a GPU do not wait for it: no operation of a loss copies a number from the device to Python.

The kernels run in Triton's interpreter where there is no GPU; operations are the same.
"""

import warnings
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from amsbench.benchmark.interface.noise import BatchNoise, uniform_numbers
from amsbench.methods import denoiser
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.egnn.neighbour_table import EDGES, NeighbourCapacity
from amsbench.methods.environments.discrepancy import environment_discrepancy
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.material_sde import MaterialSDE

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "bincount"}


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    monkeypatch.setenv("AMSBENCH_TRITON", "float32")
    # on a CPU torch's own function looks at its input, on a GPU it does not
    monkeypatch.setattr(torch.nn.functional, "one_hot", one_hot)
    monkeypatch.setattr(denoiser, "_training_places", {})


def one_hot(species, width):
    return torch.zeros(*species.shape, width, dtype=torch.long, device=species.device).scatter_(
        -1, species[..., None], 1
    )


class Waits(TorchDispatchMode):
    """Counts the operations for which the host waits."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        masks = name == "index" and any(t is not None and t.dtype == torch.bool for t in args[1])
        if name in WAITS or masks or (name == "repeat_interleave" and "output_size" not in (kwargs or {})):
            self.count[name] += 1
        return function(*args, **(kwargs or {}))


def trained(kind, task, **changes):
    torch.manual_seed(0)
    config = kind.default_config("standard", task)
    config["network"] |= {"hidden": 32, "layers": 1, "radial": 16, "cutoff": 4.4}
    return kind(task, config | changes).to(DEVICE).train()


def waits_of(method, batch, progress=1.0):
    noise = BatchNoise(len(batch.positions), len(batch), torch.Generator().manual_seed(1), DEVICE)
    with Waits() as waits:
        loss = method.training_loss(batch, noise, teacher=method, progress=progress)["loss"]
        loss.backward()
    return waits.count


@pytest.mark.parametrize(
    ("kind", "task_name"), [(MaterialODE, "silicon"), (MaterialSDE, "silica"), (AMShortcut, "silica")]
)
def test_a_training_step_waits_once_at_most(request, small_batch, kind, task_name):
    """The number of places of a row is chosen in the first step; the second reads only whether they were enough."""
    task = request.getfixturevalue(task_name)
    shortcut = {"consistency_share": 1.0} if kind is AMShortcut else {}
    method = trained(kind, task, **shortcut)
    batch = small_batch(task.species_count, len(task.properties), sizes=(1, 2)).to(DEVICE)
    first, second = waits_of(method, batch), waits_of(method, batch)
    assert first == {"_local_scalar_dense": 1}
    # on a GPU the number is read from pinned memory, where it has been for a step
    assert second == {"_local_scalar_dense": 1}


def test_losses_are_those_of_tables_that_are_checked_at_once(silica, small_batch):
    method = trained(MaterialSDE, silica)
    batch = small_batch(3, 2, sizes=(3, 4)).to(DEVICE)

    def losses():
        noise = BatchNoise(7, 2, torch.Generator().manual_seed(1), DEVICE)
        return method.training_loss(batch, noise, teacher=method, progress=1.0)["loss"]

    later = losses()
    method.eval()
    assert torch.allclose(later, losses(), rtol=1e-5)


def test_a_table_that_was_too_small_is_reported_and_enlarged(silicon, small_batch):
    method = trained(MaterialSDE, silicon)
    batch = small_batch(1, 0, sizes=(2,)).to(DEVICE)
    waits_of(method, batch)
    places = denoiser._training_places[method.denoiser]
    before = places.capacity
    places.copied = (torch.tensor(300), None)  # as if an atom of that step had so many neighbours
    with pytest.warns(RuntimeWarning, match=f"300 neighbours, more than the {before} places of its table"):
        waits_of(method, batch)
    assert places.capacity == 384  # a quarter more than needed, in whole tiles
    assert places.capacity % EDGES == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        waits_of(method, batch)


def test_a_later_check_counts_all_tables_up_to_its_beginning():
    capacity = NeighbourCapacity(capacity=32, required=torch.tensor(33, device=DEVICE))
    capacity.begin_check()
    capacity.required = torch.tensor(90, device=DEVICE)
    assert capacity.end_check() == 33
    assert capacity.capacity == 64
    capacity.begin_check()
    assert capacity.end_check() == 90
    assert capacity.end_check() == 0


def test_numbers_of_a_batch_are_those_of_its_first_structure():
    first, second = (BatchNoise(9, 3, torch.Generator().manual_seed(4), DEVICE) for _ in range(2))
    assert uniform_numbers(first, 2) == second.uniform_structures(2)[0].tolist()
    assert torch.equal(first.normal_atoms(3), second.normal_atoms(3))


def test_the_kernels_of_a_discrepancy_do_not_read_numbers(silica, small_batch):
    """Whether an element has pairs is decided on the device; only environments, which have as many rows as there are
    atoms of an element, wait for their numbers."""
    x, y = (small_batch(2, 0, sizes=(9, 8, 7), seed=seed).to(DEVICE) for seed in (1, 2))
    with Waits() as waits:
        environment_discrepancy(x, y, silica.elements)
    assert "_local_scalar_dense" not in waits.count
