"""What of MatterGen this implementation keeps, and what it does otherwise."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="C. Zeni, R. Pinsler, D. Zügner et al., A generative model for inorganic materials design, "
    "Nature 639, 624 (2025), arXiv 2312.03687",
    original="github.com/microsoft/mattergen, MIT licence; none of it is used here",
    kept=(
        "wrapped-normal noise on fractional coordinates, 0.01 * 500^t * N^(-1/3); its score times sigma as the target",
        "species by absorbing-mask D3PM, alpha_bar = 1 - t; loss: Kullback-Leibler divergence + 0.01 cross entropy",
        "a network of nodes, edges and triplets whose score is a sum of edge directions times learnt numbers",
        "a Langevin corrector (signal-to-noise ratio 0.4) before every ancestral step; the final mean is returned",
        "labels hidden in the training, and classifier-free guidance on scores and logits",
    ),
    replaced=(
        "GemNet-dT by a triplet network of our own (baselines/triplet_network.py), since no maintained package has it, "
        "and in the preset `standard` by a narrower one",
        "for steps of a fixed length ones from any time t to any s, in which a masked atom comes back with probability "
        "(t - s)/t: any step count without a new training",
        "a label is hidden on its own, where the original hides all of a structure together, so that every subset of "
        "the properties is trained; the embedding of a given one is LayerNorm(Linear(y)), of an absent one a learnt "
        "vector",
        "the prior of the positions is uniform in the cell, not a wrapped normal around the origin, which differs from "
        "that by 3 % in a cell of 1,300 atoms and less in smaller ones",
    ),
    dropped=(
        "diffusion of the cell, and lattice features at the edges: cells are given",
        "adapter modules for fine-tuning on properties",
        "the logit of the mask, which the original's network has and its sampler can draw",
    ),
    declared=(
        "ghosts are one more species, and N counts them; whatever a network knows, the mean score of a ghost's "
        "position is 0, and 0 is its target, which has the same optimum with less noise in the gradient; those that "
        "are ghosts already are nobody's neighbours, among whose nearest 20 they would take the places of atoms",
        "losses are means over atoms, not sums over the atoms of a structure",
        "the corrector's norms are those of each structure, without the atoms that are ghosts already, not means over "
        "the batch, so that a sample does not depend on its batch mates",
        "the corrector's step is at most 0.5 in fractional coordinates squared, with which noise fills the cell",
        "the network's vectors are in units of the cube root of the cell's volume",
        "as in the original, the corrector's steps are long: of normal data it keeps 1.16 times the variance, however "
        "many steps are taken, so that `predictor` can be the better sampler",
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
