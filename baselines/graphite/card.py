"""Method card of Graphite: what this implementation keeps, replaces, drops and adds."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="H. Kwon, T. Hsu, W. Sun, W. Jeong, F. Aydin, J. Chapman, X. Chen, M. R. Carbone, D. Lu, F. Zhou "
    "and T. A. Pham, Spectroscopy-guided discovery of three-dimensional structures of disordered materials with "
    "diffusion models, 2024, arXiv:2312.05472",
    original="https://github.com/LLNL/graphite (MIT), notebooks/amorph-gen; none of its code is used",
    kept=(
        "MeshGraphNets with edge states, residuals, LayerNorm and plain sums over the edges within two shells",
        "raw edge vectors and lengths as edge input: not rotation equivariant; every training structure is rotated "
        "at random",
        "random Fourier features of t, added to the encoded atoms",
        "linear noise sigma = k t with k per material; t uniform; squared error of eps, summed over components",
        "Euler-Maruyama steps of the reverse SDE from uniform positions; restarts from t = 0.4",
        "guidance by a separate MeshGraphNet on clean structures, with outputs per atom that are averaged; its "
        "gradient is divided by the size of the misfit",
    ),
    replaced=(
        "spectra by the scalar properties of the dataset, standardised",
        "the default conditioning: properties are an input of the denoiser, with half of the labels hidden in "
        "training, since every method here is conditioned on subsets of the properties without another network",
        "score and coefficients at the end of a step, as in the code, by those at its beginning, so that a single step "
        "is defined",
        "neighbours of the noisy structure in the property network, as in the code, by neighbours of the estimated "
        "clean structure (as in Chung et al., arXiv 2209.14687)",
    ),
    dropped=(
        "unguided restarts after guided sampling",
        "the removal of singly bonded carbon atoms",
    ),
    declared=(
        "species and ghosts: one-hots under a cosine variance-preserving process with a scale of 0.5 at t = 1; the "
        "network gives their distribution; each step draws E_0 from it and then E_s from its exact posterior",
        "guidance of species: their log-probabilities are shifted by the gradient of the log-likelihood with respect "
        "to their expected one-hots (as in DiGress, arXiv 2209.14734), which is finite at every t",
        "the target of a ghost's noise is its mean, 0; in the sums over edges the weight of an atom is its probability "
        "not to be a ghost",
        "steps are divided between descent and restarts (``Restart.times``); below 16 steps there are no restarts",
        "the property network is trained together with the denoiser on structures with noise of t up to 0.1 (the "
        "original's: in a separate training, on clean structures)",
        "with ghosts t is uniform from 0.1 to 0.2 in the first quarter of a training, and from 0 to 1 from 5/8 of "
        "it on; with all times from the beginning the network does not learn positions",
        "network `standard`: 4 layers of 128, property network 3 of 64; cutoff 5 A, with ghosts 3.3 A",
        "the trainer's batches, decay of the learning rate, clipping and moving average (0.999)",
        "a perceptron adds the properties to the encoded atoms; its output is 0 at the beginning of a training",
        "charge neutrality is not enforced",
    ),
    hyperparameters={
        "noise": "k = 0.8 A (carbon)",
        "network": "5 layers of 200, cutoff 3 A",
        "batch": "8",
        "optimiser": "Adam 1e-3 (property network: 1e-4)",
        "moving average": "0.999 (its notebook: 0.9999 for the denoiser)",
        "steps": "64 to 128, and 25 for each of 4 restarts",
        "guidance": "800, for the mean over the atoms of a spectrum's misfit",
    },
    evaluations={
        "euler-maruyama": "1",
        "restart": "1; steps are those of descent and restarts together",
        "guided": "2: one evaluation of the denoiser, and its backward pass with both of the property network",
    },
)
