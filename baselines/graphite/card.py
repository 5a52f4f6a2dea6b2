"""What of Graphite this implementation keeps, and what it does otherwise."""

from __future__ import annotations

from ...benchmark.interface.method_card import MethodCard

CARD = MethodCard(
    reference="H. Kwon, T. Hsu, W. Sun, W. Jeong, F. Aydin, J. Chapman, X. Chen, M. R. Carbone, D. Lu, F. Zhou "
    "and T. A. Pham, Spectroscopy-guided discovery of three-dimensional structures of disordered materials with "
    "diffusion models, 2024, arXiv:2312.05472",
    original="https://github.com/LLNL/graphite (MIT), notebooks/amorph-gen; nothing of it is used",
    kept=(
        "MeshGraphNets with states of edges, residuals, LayerNorm and plain sums over the edges within two shells",
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
        "training, since every method here is asked for subsets of them without a further network",
        "score and coefficients are those at the beginning of a step (the code has its end), so that one step is "
        "defined",
        "the property network sees the estimate of the clean structure with neighbours of its own, of which Chung "
        "et al. speak (the code has those of the noisy structure)",
    ),
    dropped=(
        "unguided restarts after guided sampling",
        "the removal of singly bonded carbon atoms",
    ),
    declared=(
        "species and ghosts: one-hots under a cosine variance-preserving process with a scale of 0.5 at t = 1; the "
        "network gives their distribution; each step draws E_0 from it and then E_s from its exact posterior",
        "guidance of species: their log-probabilities are shifted by the gradient of the log-likelihood by their "
        "expected one-hots (as DiGress, arXiv 2209.14734), which is finite at every t",
        "the noise of ghosts is asked for by its mean, 0; in the sums over edges an atom counts as much as it is "
        "likely not to be a ghost",
        "steps are divided between descent and restarts (``Restart.times``); below 16 steps there are none",
        "the property network trains beside the denoiser on structures with noise of t up to 0.1 (the original's: "
        "in a training of its own, on clean ones)",
        "with ghosts t is uniform from 0.1 to 0.2 in the first quarter of a training, and from 0 to 1 from 5/8 of "
        "it on; with all times from the beginning nothing is learnt about positions",
        "network `standard`: 4 layers of 128, property network 3 of 64; cutoff 5 A, with ghosts 3.3 A",
        "the trainer's batches, decay of the learning rate, clipping and moving average (0.999)",
        "properties are added to the encoded atoms by a perceptron of their own that gives 0 at first",
        "structures are not made neutral",
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
