"""The contract of methods, tested by the same checks as plug-ins."""

import pytest

from amsbench.baselines.cdvae.method import CDVAE
from amsbench.baselines.graphite.method import Graphite
from amsbench.baselines.mattergen.method import MatterGen
from amsbench.methods.amshortcut import AMShortcut
from amsbench.methods.material_ode import MaterialODE
from amsbench.methods.material_sde import MaterialSDE
from amsbench.testing import check_method, checks

SMALL = {"network": {"hidden": 32, "layers": 2, "channels": 4, "cutoff": 4.0}}
SMALL_BASELINES = {
    CDVAE: {
        "encoder": {"hidden": 8, "blocks": 1, "cutoff": 4.0, "triplet": 4},
        "decoder": {"hidden": 16, "blocks": 2, "cutoff": 4.0},
        "latent": 8,
        "head": 16,
        "latent_steps": 20,
    },
    MatterGen: {"network": {"hidden": 16, "blocks": 2, "cutoff": 4.0, "neighbours": 12}},
    Graphite: {"network": {"hidden": 32, "layers": 2, "cutoff": 4.0}},
}


@pytest.mark.parametrize(
    "method_class", [MaterialODE, MaterialSDE, AMShortcut, *SMALL_BASELINES], ids=lambda kind: kind.name
)
@pytest.mark.parametrize("check", checks(), ids=str)
def test_contract(method_class, check):
    check_method(method_class, config=SMALL_BASELINES.get(method_class, SMALL), only=[check.name])


@pytest.mark.parametrize("method_class", [MaterialODE, MaterialSDE, AMShortcut])
def test_contract_with_the_network_of_the_paper(method_class):
    """The preset ``paper`` has a network and losses of its own."""
    small = {"network": {"hidden": 64, "layers": 2, "channels": 4, "cutoff": 4.0}}
    names = (
        "any_step_count",
        "batch_mates_do_not_matter",
        "equal_labels_equal_structures",
        "permutation_equivariance",
        "rotation_equivariance",
        "training_lowers_the_loss",
        "translation_equivariance",
    )
    check_method(method_class, config=small, network="paper", only=names, tasks=["ghosts and properties"])
