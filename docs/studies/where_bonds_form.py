"""From which noise can a trained material SDE still find the bonds of silica, and with which sampler? The tables of
docs/training.md.

    python docs/studies/where_bonds_form.py CHECKPOINT.safetensors

Training glasses of ``asio2`` are noised to a time t and brought back in ancestral steps of 0.01; then the share of Si
with four and of O with two neighbours of the other kind within 2 A is printed, beside that of the glasses themselves;
and at last that of samples from the prior, in the same cells, by two samplers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

import amsbench
from amsbench.benchmark.interface.noise import BatchNoise
from amsbench.benchmark.interface.structures import Structures, add_ghosts
from amsbench.benchmark.training.checkpoints import load_checkpoint
from amsbench.methods.material_sde import ANCESTRAL, MaterialSDE

TIMES = (0.25, 0.30, 0.35, 0.40, 0.50)
STEP = 0.01
GLASSES = 12
SAMPLERS, STEPS = ("ancestral", "restart"), (10, 25, 50, 100)
BOND = 2.0


def bonded(frames: Sequence[Atoms]) -> str:
    """Share of Si with four / of O with two neighbours of the other kind."""
    counts: dict[str, list[int]] = {"Si": [], "O": []}
    for frame in frames:
        first, second = neighbor_list("ij", frame, BOND)
        symbols = np.array(frame.get_chemical_symbols())
        bonds = np.bincount(first[symbols[first] != symbols[second]], minlength=len(frame))
        for symbol, found in counts.items():
            found.extend(bonds[symbols == symbol])
    return f"{np.mean(np.array(counts['Si']) == 4):.2f} / {np.mean(np.array(counts['O']) == 2):.2f}"


def main(path: str) -> None:
    method = load_checkpoint(path).method
    if not isinstance(method, MaterialSDE) or method.task.dataset != "asio2":
        sys.exit(f"{path} is not of material-sde or amshortcut on asio2")
    glasses = amsbench.load_dataset("asio2").split("train")
    frames = [glasses.atoms(k) for k in range(GLASSES)]
    generator = torch.Generator().manual_seed(1)
    clean = Structures.from_atoms(frames, method.task.elements, len(method.task.properties))
    clean = add_ghosts(clean, method.task.ghost_density or 0.0, len(method.task.elements), generator)
    noise = BatchNoise(len(clean.positions), len(clean), generator)
    print("glasses themselves:", bonded(frames))
    atoms = torch.ones_like(clean.positions[:, :1])
    for begin in (*TIMES, 1.0):
        with torch.no_grad():
            whole = torch.full((len(clean), 1), begin)
            state = method.prior(clean, noise) if begin == 1 else method.corrupt(clean, whole, noise)[0]
            steps = round(begin / STEP)
            for k in range(steps):
                t, s = (begin * (1 - n / steps) for n in (k, k + 1))
                times = torch.full((len(clean),), t)
                found = method.predict(state, method.denoiser.null_properties(noise), times, 0 * times)
                state = ANCESTRAL.step(method, state, found, atoms * t, atoms * s, noise)
            made = method.finish(state).to_atoms(method.task.elements)
        print("from the prior:" if begin == 1 else f"from t = {begin:.2f}:", bonded(made), flush=True)
    for sampler in SAMPLERS:
        for steps in STEPS:
            with torch.no_grad():
                made = method.sample(clean, steps, sampler, noise).to_atoms(method.task.elements)
            print(f"{sampler}, {steps} steps:", bonded(made), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
