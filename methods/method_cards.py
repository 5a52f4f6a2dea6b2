"""The method cards of material ODE, material SDE and AMShortcut; docs/methods.md has the reasons at length."""

from __future__ import annotations

from collections.abc import Mapping

from ..benchmark.interface.method_card import MethodCard

_PAPER = "the AMShortcut paper, arXiv 2603.29812"

_KEPT = (
    "the flexible denoiser: EGNN with 8 vector channels, attention gates and a smooth cutoff; any subset of the "
    "properties by null vectors (4.4, B.4)",
    "ghost atoms as one more species, which decide density and composition (Definition 2)",
    "errors of positions and elements weighed 1 to 0.5",
)
_REPLACED = (
    "tanh(d^2 / r^2) as the one thing that an edge knows of its length by 32 radial functions: learns faster (network "
    "'paper' has the former)",
    "4 layers of 128 by 3 of 64, or 6 ('deep'), which see more structures in the same time; 'wide' has the paper's "
    "size",
    "the cutoff of 6.5 A by 4.4 A where there are ghosts: its sphere holds the 40 neighbours that sums are scaled for",
)
_DECLARED = (
    "the paper does not say how its networks were trained; here Adam with cosine decay and a moving average",
    "half of the labels are hidden in training, each on its own (paper: none)",
    "70 % of the training times are dense where structure takes shape, 30 % uniform (paper: all)",
    "elements come out as a distribution over the species, to which an atom's own embedding adds its likelihood",
    "s_E is 0.5 (paper: 1.5; network 'paper' has it)",
    "ghosts are asked for the mean of their noise, 0, not for the draw",
    "with more than four species atoms also read the composition that all of their structure speak of; where elements "
    "have charges, structures are made neutral",
)
_HYPERPARAMETERS = {
    "network": "EGNN, 4 layers, 128 wide, 8 vector channels, cutoff 6.5 A, sums over 40 neighbours",
    "s_X": "1.7 A",
    "s_E": "1.5",
    "ghost density": "0.11 per A^3",
}
_SAMPLERS: Mapping[str, str] = {
    "euler-maruyama": "1",
    "ancestral": "1",
    "multistep": "1",
    "restart": "1",
    "guided": "2: with the targets and without; 1 where a model knows no properties",
    "ode": "1",
}
_ADDED_SAMPLERS = (
    "samplers beside the paper's: ancestral steps that add the variance of what is not known, steps of second order, "
    "restarts, guidance; with more than four species drawn ones on the way"
)

MATERIAL_ODE = MethodCard(
    reference=f"{_PAPER}, 4.1 and B.1; after Lipman et al., Flow matching, ICLR 2023, arXiv 2210.02747",
    original="no code public",
    kept=(
        "straight lines from data to uniform positions by the shortest image, and to normal embeddings (Eqs. 7, 8)",
        "Euler steps of the learnt drift",
        *_KEPT,
    ),
    replaced=_REPLACED,
    declared=(
        "position errors in units of the spread of u, so that they weigh the same in every cell",
        *_DECLARED,
        "the sampler multistep: steps of second order, denser towards t = 0",
    ),
    hyperparameters={name: _HYPERPARAMETERS[name] for name in ("network", "s_E", "ghost density")},
    evaluations={"ode": "1", "multistep": "1"},
)

MATERIAL_SDE = MethodCard(
    reference=f"{_PAPER}, 4.1 and B.2; after Song et al., Score-based generative modeling, ICLR 2021, arXiv 2011.13456",
    original="no code public",
    kept=(
        "variance exploding positions, variance preserving elements with a cosine (Eq. 9); the network "
        "predicts the noise of positions",
        "Euler-Maruyama steps of the reverse SDE (Eq. 2)",
        *_KEPT,
    ),
    replaced=(
        "the predicted noise of elements by their velocity, which says something about species at t = 1 too (network "
        "'paper' predicts the noise)",
        *_REPLACED,
    ),
    declared=(
        "g^2 = d(sigma^2)/dt - 2 f sigma^2: the paper writes sigma for it and for the standard deviation",
        *_DECLARED,
        _ADDED_SAMPLERS,
    ),
    hyperparameters=_HYPERPARAMETERS,
    evaluations=_SAMPLERS,
)

AMSHORTCUT = MethodCard(
    reference=f"{_PAPER}, 4.3 and B.3; after Frans et al., One step diffusion via shortcut models, ICLR 2025, "
    "arXiv 2410.12557",
    original="no code public",
    kept=(
        "material SDE whose network is also told the step size",
        "self-consistency: two steps of the probability-flow ODE are the target of one of twice the size, under a "
        "stopped gradient (Eqs. 4, 11)",
        "shortcuts along the ODE below 10 steps, material SDE with step size 0 from 10 on",
        *_KEPT,
    ),
    replaced=MATERIAL_SDE.replaced,
    declared=(
        "Eq. 4 with the mean of the two drifts, which is what two averages give; the paper prints their sum",
        "step sizes are continuous; 30 % of the shortcuts begin at t = 1 and 35 % go all the way to t = 0",
        "75 % of the batches have a shortcut loss, after 40 % of the training (paper: 25 %, from the beginning)",
        "targets of shortcuts come from the moving average of the network",
        *MATERIAL_SDE.declared,
    ),
    hyperparameters=_HYPERPARAMETERS | {"batches with a shortcut loss": "25 %"},
    evaluations=_SAMPLERS,
)
