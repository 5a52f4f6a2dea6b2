"""Method card of MatterGen: what this implementation keeps, replaces, drops and adds."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="C. Zeni, R. Pinsler, D. Zügner et al., A generative model for inorganic materials design, "
    "Nature 639, 624 (2025), arXiv 2312.03687",
    original="github.com/microsoft/mattergen, MIT licence; none of it is used here",
    kept=(
        "wrapped-normal noise on fractional coordinates, 0.01 * 500^t * N^(-1/3); its score times sigma as the target",
        "species by absorbing-mask D3PM, alpha_bar = 1 - t; loss: Kullback-Leibler divergence + 0.01 cross entropy",
        "a network with node, edge and triplet messages, whose score is a sum of edge directions with learnt weights",
        "a Langevin corrector (signal-to-noise ratio 0.4) before every ancestral step; the final mean is returned",
        "labels hidden at random in training, and classifier-free guidance of scores and logits",
    ),
    replaced=(
        "GemNet-dT by the triplet network of this package (baselines/triplet_network.py), since no maintained package "
        "has GemNet-dT; the network of the preset `standard` is narrower",
        "steps of fixed length by steps from any time t to any s < t, in which a masked atom is unmasked with "
        "probability (t - s)/t: any step count is possible without a new training",
        "hiding of all labels of a structure together by hiding each label independently, so that every subset of the "
        "properties is trained; the embedding of a present property is LayerNorm(Linear(y)), that of an absent one a "
        "learnt vector",
        "the prior of the positions, a wrapped normal around the origin, by a uniform density in the cell; the two "
        "differ by 3 % in a cell of 1,300 atoms and less in smaller ones",
    ),
    dropped=(
        "diffusion of the cell, and lattice features of the edges: cells are an input",
        "adapter modules for fine-tuning on properties",
        "the logit of the mask, which the original's network has and its sampler can draw",
    ),
    declared=(
        "ghosts are one more species, and N includes them; the expected score of a ghost's position is 0, and 0 is its "
        "target, which leaves the optimum unchanged and reduces the noise of the gradient; unmasked ghosts send no "
        "messages, since they would replace atoms among the nearest 20 neighbours",
        "losses are means over atoms instead of sums over the atoms of a structure",
        "the norms in the corrector's step size are those of each structure, without unmasked ghosts, instead of means "
        "over the batch, so that a sample does not depend on the other structures of its batch",
        "the corrector's step is at most 0.5 in fractional coordinates squared, which makes the positions uniform",
        "the output vectors of the network are in units of the cube root of the cell's volume",
        "as in the original, the corrector's steps are long: for normally distributed data the variance is 1.16 times "
        "too large at any number of steps, so that `predictor` can be the better sampler",
    ),
    hyperparameters={
        "network": "GemNet-dT, 4 blocks of 512, cutoff 7 A, at most 50 neighbours",
        "weights of the losses": "positions 0.1, species 1, cell 1",
        "optimiser": "Adam, learning rate 1e-4, times 0.6 on plateaus",
        "batch": "512 structures",
        "steps of a sample": "1000",
        "share of hidden labels": "0.2",
        "guidance": "2",
    },
    evaluations={
        "predictor-corrector": "2 per step",
        "predictor": "1 per step",
        "guided": "4 per step, 2 for data without properties",
    },
)
