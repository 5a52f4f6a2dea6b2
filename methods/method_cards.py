"""Method cards of material ODE, material SDE and AMShortcut; docs/methods.md explains the differences."""

from __future__ import annotations

from collections.abc import Mapping

from ..benchmark.interface.method_card import MethodCard

_PAPER = "the AMShortcut paper, arXiv 2603.29812"

_KEPT = (
    "the flexible denoiser: EGNN with 8 vector channels, attention gates and a smooth cutoff; any subset of the "
    "properties by null vectors (4.4, B.4)",
    "ghost atoms as one more species, through which the model determines density and composition (Definition 2)",
    "weights 1 and 0.5 of the errors of positions and elements",
)
_REPLACED = (
    "tanh(d^2 / r^2) as the only function of the length of an edge by 32 radial functions and, in every layer, the "
    "tanh of the present distances of all channels",
    "E_t, properties, t and dt as the node features by two linear layers of them and of dt/t, and the last features as "
    "the element output by a linear layer of them",
    "layer normalisation in the MLPs by one of the node features before each layer, an MLP for the attention by a "
    "linear layer, and the coordinate MLP of the new features of a layer by one of the old features",
    "4 layers of width 128 by 3 of width 64, or 6 ('deep'), which train on more structures in the same time; 'wide' "
    "has the paper's size",
    "the cutoff of 6.5 A by 4.4 A for data with ghosts: the sphere holds the 40 neighbours for which sums are scaled",
    "the preset 'paper' replaces none of these and has the paper's settings; docs/methods.md has the complete table, "
    "with reasons and measured effects",
)
_DECLARED = (
    "the paper does not say how its networks were trained; here Adam with cosine decay and a moving average",
    "half of the labels are hidden in training, independently of each other (paper: none)",
    "70 % of the training times are concentrated where the structure forms, 30 % are uniform (paper: all uniform)",
    "the element output is a distribution over the species; it includes the likelihood of the atom's noisy embedding",
    "s_E is 0.5 (paper: 1.5, and 1 in material ODE)",
    "the target of a ghost is the mean of its noise, 0, instead of the drawn noise",
    "the mean displacement of a structure is removed from the output",
    "one element without ghosts has no element channel",
    "with more than four species every atom also reads an estimate of the composition of its structure; for elements "
    "with formal charges, structures are made neutral",
    "with the preset 'paper' there remain: the training, which the paper does not describe; no element channel for one "
    "element; and what its print contradicts or leaves open (g^2, Eq. 4, the prior, the sampler)",
)
_HYPERPARAMETERS = {
    "network": "EGNN, 4 layers, 128 wide, 8 vector channels, cutoff 6.5 A, sums over 40 neighbours",
    "s_X": "1.7 A",
    "s_E": "1.5",
    "ghost density": "0.11 per A^3",
}
_GUIDED = "2: with and without the targets; 1 for models without properties"
_SAMPLERS: Mapping[str, str] = {
    "euler-maruyama": "1",
    "ancestral": "1",
    "multistep": "1",
    "restart": "1",
    "guided": _GUIDED,
    "ode": "1",
}
_SHORTCUTS: Mapping[str, str] = {
    "shortcut": "1",
    "shortcut-multistep": "1",
    "shortcut-restart": "1",
    "shortcut-guided": _GUIDED,
}
_ADDED_SAMPLERS = (
    "samplers in addition to the paper's: ancestral steps with the residual variance of the noise, steps of second "
    "order, restarts, guidance; with more than four species, species are drawn at every step"
)

MATERIAL_ODE = MethodCard(
    reference=f"{_PAPER}, 4.1 and B.1; after Lipman et al., Flow matching, ICLR 2023, arXiv 2210.02747",
    original="no public code",
    kept=(
        "straight lines from data to uniform positions (minimum image) and to normal embeddings (Eqs. 7, 8)",
        "Euler steps of the learnt drift",
        *_KEPT,
    ),
    replaced=_REPLACED,
    declared=(
        "position errors in units of the standard deviation of u, so that their weight is the same in every cell "
        "(preset 'paper': angstrom)",
        *_DECLARED,
        "the sampler multistep: steps of second order, denser towards t = 0",
    ),
    hyperparameters={name: _HYPERPARAMETERS[name] for name in ("network", "s_E", "ghost density")},
    evaluations={"ode": "1", "multistep": "1"},
)

MATERIAL_SDE = MethodCard(
    reference=f"{_PAPER}, 4.1 and B.2; after Song et al., Score-based generative modeling, ICLR 2021, arXiv 2011.13456",
    original="no public code",
    kept=(
        "variance-exploding positions, variance-preserving cosine process of the elements (Eq. 9); the network "
        "predicts the noise of the positions",
        "Euler-Maruyama steps of the reverse SDE (Eq. 2)",
        *_KEPT,
    ),
    replaced=(
        "the predicted noise of the elements by their velocity, which depends on the species also at t = 1 (preset "
        "'paper' predicts the noise)",
        *_REPLACED,
    ),
    declared=(
        "g^2 = d(sigma^2)/dt - 2 f sigma^2: the paper uses the symbol sigma for g and for the standard deviation",
        *_DECLARED,
        _ADDED_SAMPLERS,
    ),
    hyperparameters=_HYPERPARAMETERS,
    evaluations=_SAMPLERS,
)

AMSHORTCUT = MethodCard(
    reference=f"{_PAPER}, 4.3 and B.3; after Frans et al., One step diffusion via shortcut models, ICLR 2025, "
    "arXiv 2410.12557",
    original="no public code",
    kept=(
        "material SDE whose network also reads the step size",
        "self-consistency: two steps of the probability-flow ODE are the target of one step of twice the size, with a "
        "stopped gradient (Eqs. 4, 11)",
        "equal steps of the probability-flow ODE with the step size given to the network (sampler 'shortcut')",
        *_KEPT,
    ),
    replaced=MATERIAL_SDE.replaced,
    declared=(
        "Eq. 4 with the mean of the two drifts, as follows for average drifts; the paper prints their sum",
        "shortcuts are the default sampler at every step count, as the paper's Table 1 has them; its text has steps of "
        "the SDE from 10 steps on, which are samplers of their own here, with step size 0",
        "step sizes are continuous; in training 30 % of the shortcuts begin at t = 1 and 35 % end at t = 0 (preset "
        "'paper': both uniform)",
        "75 % of the batches have a shortcut loss, after 40 % of the training (paper and preset 'paper': 25 %, from "
        "the beginning)",
        "the targets of shortcuts are computed by the moving average of the network, and their errors are those of eps "
        "(paper and preset 'paper': by the network itself; of the drift)",
        "an addition of ours, off by default (setting 'matching'): a third loss, the maximum mean discrepancy between "
        "the local environments after a shortcut to t = 0 and those of data",
        "another, off by default (entry 'critic' of the same setting): training of the same shortcuts against a critic "
        "of local environments, a network that is trained beside them to tell generated atoms from those of data",
        *MATERIAL_SDE.declared,
    ),
    hyperparameters=_HYPERPARAMETERS | {"batches with a shortcut loss": "25 %"},
    evaluations={**_SHORTCUTS, **_SAMPLERS},
)
