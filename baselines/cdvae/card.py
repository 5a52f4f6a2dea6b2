"""What of CDVAE this implementation keeps, and what it does otherwise."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="T. Xie, X. Fu, O.-E. Ganea, R. Barzilay, T. Jaakkola, Crystal Diffusion Variational Autoencoder for "
    "Periodic Material Generation, ICLR 2022, arXiv 2110.06197",
    original="https://github.com/txie-93/cdvae, MIT; this is an independent adaptation, without its code",
    kept=(
        "a latent z for every structure, drawn from what the encoder says of the clean structure, with a KL term",
        "a decoder that sees z but no noise level; its output divided by sigma is the score",
        "positions: 50 geometric levels from 10 A to 0.01 A, minimum-image target, loss weighted by sigma^2",
        "types: drawn from one-hot + sigma composition(z), levels of their own from 5 to 0.01; cross entropy / sigma",
        "a composition head on z, behind a stopped gradient where it drives the type noise; a property head on z",
        "sampling: z from N(0, 1), types from the composition, uniform positions, annealed Langevin dynamics with step "
        "sigma^2 (1e-4 (sigma / sigma_L)^2 A^2), types the likeliest class after every step, no last denoising",
        "targets by Adam on z through the property head (sampler latent-gradient)",
    ),
    replaced=(
        "DimeNet++ and GemNet-dT by one network of triplets with edge states and radial times Legendre bases, at most "
        "20 neighbours: neither has a maintained periodic implementation",
        "the encoder's readout is a mean over atoms beside the shares of the species",
        "the optimised property by given values: Adam on the squared error over the targets that are asked for",
        "types at the beginning by systematic sampling of the composition (original: rounded, the rest drawn)",
        "batches of 256 and Adam 1e-3 by the benchmark's common training",
    ),
    dropped=("lattice head", "atom-count head", "one class per element of the periodic table"),
    declared=(
        "decoder and composition head also see the properties asked for, of which half are hidden in training; z knows "
        "them too, through the property head, so that with langevin, where z comes from N(0, 1), the two may disagree, "
        "and with latent-gradient they do not",
        "ghosts are a class as any other. The encoder does not see them, only their share. A ghost's position says "
        "nothing about its noise, so that the decoder is asked for the mean, 0, and not for the draw: the same optimum",
        "levels of more than a quarter of a cell are nearly uniform noise, and the minimum image is then not the true "
        "displacement: so it is in the original",
        "S steps: up to 50 as many levels of one step each, beyond 50 levels of S / 50 (the original: 50 of 100)",
        "every path ends at about sqrt(2) sigma_L = 0.014 A from the atoms' places, a tenth of their thermal motion",
        "Adam on z costs evaluations of the property head alone, which are not counted, but are in the time",
        "no constraint of neutrality",
    ),
    hyperparameters={
        "latent": "256",
        "KL weight": "0.01",
        "encoder": "DimeNet++, 128 wide, 4 blocks, 7 A, 20 neighbours",
        "decoder": "GemNet-dT, 128 wide, 3 blocks, 7 A, 20 neighbours",
        "position levels": "50, 10 to 0.01 A, weight 10",
        "type levels": "50, 5 to 0.01, weight 1",
        "Langevin steps": "50 x 100, step 1e-4 (sigma / sigma_L)^2 A^2",
        "property gradient": "Adam 1e-3, 5000 steps",
        "training": "Adam 1e-3, batch 256",
    },
    evaluations={"langevin": "1 per step", "latent-gradient": "1 per step, and the property head's"},
)
