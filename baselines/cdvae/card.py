"""Method card of CDVAE: what this implementation keeps, replaces, drops and adds."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="T. Xie, X. Fu, O.-E. Ganea, R. Barzilay, T. Jaakkola, Crystal Diffusion Variational Autoencoder for "
    "Periodic Material Generation, ICLR 2022, arXiv 2110.06197",
    original="https://github.com/txie-93/cdvae, MIT; this is an independent adaptation, without its code",
    kept=(
        "a latent z for every structure, drawn from the encoder's normal distribution for the clean structure; KL term",
        "a decoder that reads z but not the noise level; its output divided by sigma is the score",
        "positions: 50 geometric levels from 10 A to 0.01 A, minimum-image target, loss weighted by sigma^2",
        "types: drawn from one-hot + sigma composition(z), separate levels from 5 to 0.01; cross entropy / sigma",
        "a composition head on z, with a stopped gradient where its output sets the type noise; a property head on z",
        "sampling: z from N(0, 1), types from the composition, uniform positions, annealed Langevin dynamics with step "
        "sigma^2 (1e-4 (sigma / sigma_L)^2 A^2), types set to the likeliest class after every step, no final denoising",
        "targets by Adam on z through the property head (sampler latent-gradient)",
    ),
    replaced=(
        "DimeNet++ and GemNet-dT by one triplet network with edge states, radial functions times Legendre polynomials "
        "and at most 20 neighbours, since neither has a maintained periodic implementation",
        "the encoder's readout by a mean over atoms together with the fractions of the species",
        "minimisation of a property by target values: Adam on the squared error over the targets",
        "initial types (original: rounded atom counts, the rest drawn) by systematic sampling of the composition",
        "batches of 256 and Adam 1e-3 by the common training settings of the benchmark",
    ),
    dropped=("lattice head", "atom-count head", "one class per element of the periodic table"),
    declared=(
        "decoder and composition head also read the target properties, half of which are hidden in training; z encodes "
        "the properties, too, through the property head. With langevin, where z is drawn from N(0, 1), the two can "
        "disagree; with latent-gradient they agree",
        "ghosts are one more class. The encoder reads their share, but not their positions. A ghost's noise cannot be "
        "predicted from its position, so that the decoder's target is its mean, 0, which leaves the optimum unchanged",
        "noise levels above a quarter of a cell are nearly uniform, and the minimum image then differs from the true "
        "displacement, as in the original",
        "S steps: up to 50, S levels of one step; above, 50 levels of S / 50 steps (the original: 50 levels of 100)",
        "samples keep noise of about sqrt(2) sigma_L = 0.014 A, a tenth of the thermal motion",
        "Adam on z evaluates the property head only; these evaluations are not counted, but their time is",
        "charge neutrality is not enforced",
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
