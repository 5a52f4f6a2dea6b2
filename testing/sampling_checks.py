"""Checks of the sampling of a method: validity, reproducibility, symmetries, conditioning."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from ..benchmark.interface.structures import Structures
from ..metrics.distribution_functions import rdf
from ..metrics.structural_errors import curve_rmsd
from .checks import Check, require
from .method_probe import TOLERANCE, Probe, TransformedNoise, sampler_names, unit_hint
from .training_checks import trained

STEPS = (1, 2, 3, 11)
"""Step counts of the check of finite positions: odd and even numbers, below and above ten."""
FEW = 3
"""Step count of comparisons: a first, a middle and a last step, with little accumulated rounding."""
LEAST_RDF_RMSD = 0.5
"""Smallest RDF RMSD of a single step of a method without shortcut. It is 1.05 for random positions and 0.80 for random
positions without pairs below 1.9 A, which a short training learns first."""
LEAST_CHANGE = 1e-4
"""Smallest difference of different structures, angstrom."""


def any_step_count(probe: Probe) -> None:
    """Every sampler makes finite positions in 1, 2, 3 and 11 steps."""
    method, start = probe.method(), probe.start()
    for sampler in sampler_names(method):
        for steps in STEPS:
            sample = probe.sample(method, start, steps, sampler, probe.noise(start))
            require(
                torch.isfinite(sample.positions).all(),
                f"sampler '{sampler}' with {steps} steps made positions that are not finite",
            )


def cells_and_counts_untouched(probe: Probe) -> None:
    """Cells, atom counts, order and properties are those of ``start``, which is not modified."""
    method, start = probe.method(), probe.start()
    for sampler in sampler_names(method):
        start_copy = Structures(**{name: value.clone() for name, value in vars(start).items()})
        sample = probe.sample(method, start_copy, 2, sampler, probe.noise(start))
        for name in ("cells", "counts", "batch", "properties"):
            expected, returned = getattr(start, name), getattr(sample, name)
            same = expected.shape == returned.shape and torch.equal(
                expected.nan_to_num(-1.0), returned.nan_to_num(-1.0)
            )
            require(same, f"sampler '{sampler}' changed {name}; return those of start")
        for name, expected in vars(start).items():
            unchanged = torch.equal(expected.nan_to_num(-1.0), getattr(start_copy, name).nan_to_num(-1.0))
            require(unchanged, f"sampler '{sampler}' writes into {name} of start; it may only read them")


def only_known_species(probe: Probe) -> None:
    """Species are elements of the task or its ghost; no other class, such as a mask, is left."""
    rows = tuple(range(6))
    method, start = probe.method(), probe.start(rows)
    species_count = probe.task.species_count
    for sampler in sampler_names(method):
        for steps in (1, 2):
            species = probe.sample(method, start, steps, sampler, probe.noise(start, rows)).species
            require(species.dtype == torch.int64, f"sampler '{sampler}' returned species of {species.dtype}")
            unknown = species[(species < 0) | (species >= species_count)]
            require(
                len(unknown) == 0,
                f"sampler '{sampler}' with {steps} steps left {len(unknown)} of {len(species)} atoms with species "
                f"{unknown[:1].tolist()}, where 0 to {species_count - 1} are known (elements, then the ghost)",
            )


def same_seed_same_sample(probe: Probe) -> None:
    """The same noise gives the same sample, independent of torch's global generator and of samples in between."""
    method = probe.method()
    start, other = probe.start(), probe.start((2, 3))
    for sampler in sampler_names(method):
        once = probe.sample(method, start, FEW, sampler, probe.noise(start))
        probe.sample(method, other, FEW, sampler, probe.noise(other))
        again = probe.sample(method, start, FEW, sampler, probe.noise(start))
        gap = probe.difference(again, once)
        require(
            gap <= TOLERANCE[torch.float32],
            f"sampler '{sampler}' made another structure from the same noise ({_distance(gap)}); every random number "
            "has to come from the NoiseSource, and sampling may not change the method",
        )


def other_seed_other_sample(probe: Probe) -> None:
    """Different noise gives a different sample."""
    method, start = probe.method(), probe.start()
    for sampler in sampler_names(method):
        once = probe.sample(method, start, FEW, sampler, probe.noise(start, seed=0))
        other = probe.sample(method, start, FEW, sampler, probe.noise(start, seed=1))
        require(
            probe.difference(other, once) > LEAST_CHANGE,
            f"sampler '{sampler}' made the same structure with two seeds; it does not read its noise",
        )


def batch_mates_do_not_matter(probe: Probe) -> None:
    """A sample does not depend on the other structures of its batch or on their order."""
    method = probe.method(precise=True)
    for sampler in sampler_names(method):
        # structure 1 alone, before structure 0 and after it
        samples = []
        for rows in ((1,), (1, 0), (0, 1)):
            start = probe.start(rows, precise=True)
            sample = probe.sample(method, start, FEW, sampler, probe.noise(start, rows))
            samples.append(_one(sample, rows.index(1)))
        for what, mate in (
            ("before another one in a batch", samples[1]),
            ("after another one in a batch", samples[2]),
        ):
            gap = probe.difference(mate, samples[0])
            require(
                gap <= TOLERANCE[probe.settings.precision],
                f"sampler '{sampler}' makes another structure {what} than alone ({_distance(gap)}); sums, means and "
                "norms have to be those of each structure",
            )


def concurrent_samples(probe: Probe) -> None:
    """If the class is ``concurrent``, two simultaneous threads make the same structures as one."""
    method = probe.method()
    method.eval()
    starts = [probe.start((k, k + 1)) for k in range(3)]

    def sample(start: Structures) -> Structures:
        with torch.no_grad():
            return method.sample(start, 2, method.samplers[0].name, probe.noise(start))

    expected = [sample(start) for start in starts]
    with ThreadPoolExecutor(2) as pool:
        for threaded, alone in zip(pool.map(sample, starts), expected, strict=True):
            gap = probe.difference(threaded, alone)
            require(
                gap <= TOLERANCE[torch.float32],
                f"two threads at once make other structures ({_distance(gap)}); sampling may not change the module, "
                "or the class is not concurrent",
            )


def permutation_equivariance(probe: Probe) -> None:
    """Permuted noise gives the permuted structure."""
    method, start = probe.method(precise=True), probe.start(precise=True)
    generator = torch.Generator().manual_seed(0)
    order = torch.cat(
        [
            first + torch.randperm(int(n), generator=generator)
            for first, n in zip(start.offsets, start.counts, strict=False)
        ]
    )
    for sampler in sampler_names(method):
        sample = probe.sample(method, start, FEW, sampler, probe.noise(start))
        permuted = replace(sample, positions=sample.positions[order], species=sample.species[order])
        noise = TransformedNoise(source=probe.noise(start), draws=lambda drawn: drawn[order])
        gap = probe.difference(probe.sample(method, start, FEW, sampler, noise), permuted)
        require(
            gap <= TOLERANCE[probe.settings.precision],
            f"sampler '{sampler}' gives permuted atoms another structure ({_distance(gap)}); the index of an atom "
            "must not matter",
        )


def translation_equivariance(probe: Probe) -> None:
    """Shifted initial positions give the structure with the same shift, up to lattice vectors."""
    method, start = probe.method(precise=True), probe.start(precise=True)
    shift = torch.tensor([[0.31, 0.77, 0.52], [0.93, 0.14, 0.68]]).to(start.cells)[start.batch]
    cells = start.cells[start.batch]
    for sampler in sampler_names(method):
        sample = probe.sample(method, start, FEW, sampler, probe.noise(start))
        noise = TransformedNoise(source=probe.noise(start), places=lambda places: (places + shift) % 1.0)
        moved = probe.sample(method, start, FEW, sampler, noise)
        require(
            noise.touched,
            f"sampler '{sampler}' does not draw initial positions by uniform_atoms(3); draw them so, or expect this "
            "check to fail",
        )
        images = torch.linalg.solve(cells.mT, (moved.positions - sample.positions)[..., None])[..., 0] - shift
        near = torch.einsum("ni,nij->nj", images - images.round(), cells)
        gap = float(near.abs().max()) if torch.equal(moved.species, sample.species) else float("inf")
        require(
            gap <= TOLERANCE[probe.settings.precision],
            unit_hint(sample)
            or f"sampler '{sampler}' makes another structure if the initial positions are shifted ({_distance(gap)}); "
            "read only differences of positions, to periodic images",
        )


def rotation_equivariance(probe: Probe) -> None:
    """If the class is ``rotation_equivariant``, a rotated cell and rotated noise give the rotated structure."""
    method, start = probe.method(precise=True), probe.start(precise=True)
    rotation = _rotation().to(start.cells)
    rotated_start = replace(start, cells=start.cells @ rotation.T)
    for sampler in sampler_names(method):
        sample = probe.sample(method, start, FEW, sampler, probe.noise(start))
        noise = TransformedNoise(source=probe.noise(start), atoms=lambda drawn: drawn @ rotation.T)
        rotated_sample = probe.sample(method, rotated_start, FEW, sampler, noise)
        gap = probe.difference(rotated_sample, sample.with_positions(sample.positions @ rotation.T))
        require(
            gap <= TOLERANCE[probe.settings.precision],
            unit_hint(sample)
            or f"sampler '{sampler}' makes another structure in a rotated cell ({_distance(gap)}), though the class "
            "is rotation_equivariant",
        )


def every_subset_of_properties(probe: Probe) -> None:
    """Any subset of the properties may be absent; positions stay finite."""
    method = probe.method()
    labels = torch.as_tensor(probe.dataset.properties[:1])
    count = labels.shape[1]
    for subset in range(2**count):
        present = torch.tensor([subset >> k & 1 for k in range(count)], dtype=torch.bool)
        start = probe.start((0,), labels.masked_fill(~present, torch.nan))
        for sampler in sampler_names(method):
            sample = probe.sample(method, start, 2, sampler, probe.noise(start, (0,)))
            require(
                torch.isfinite(sample.positions).all(),
                f"sampler '{sampler}' made positions that are not finite with {_named(probe, present)} present",
            )


def absent_is_not_zero(probe: Probe) -> None:
    """Samples depend on each property, and an absent property differs from 0, raw or standardised."""
    method = probe.method(precise=True)
    sampler = method.preferred_sampler()

    def sample(values: Tensor) -> Structures:
        start = probe.start((0,), values[None], precise=True)
        return probe.sample(method, start, FEW, sampler, probe.noise(start, (0,)))

    mean, std = torch.tensor(probe.task.property_mean), torch.tensor(probe.task.property_std)
    for k, name in enumerate(probe.task.properties):
        values = {"its mean, 0 when standardised": mean[k], "0": torch.tensor(0.0)}
        samples = {}
        for what, value in {
            **values,
            "large": mean[k] + 2 * std[k],
            "absent": torch.tensor(torch.nan),
        }.items():
            targets = torch.full_like(mean, torch.nan)
            targets[k] = value
            samples[what] = sample(targets)
        require(
            probe.difference(samples["large"], samples["its mean, 0 when standardised"]) > LEAST_CHANGE,
            f"sampler '{sampler}' makes the same structure for any '{name}'; the network does not read it",
        )
        for what in values:
            require(
                probe.difference(samples[what], samples["absent"]) > LEAST_CHANGE,
                f"sampler '{sampler}' makes the same structure where '{name}' is absent and where it is {what}",
            )


def no_leak_of_the_answer(probe: Probe) -> None:
    """Only cells, counts and properties of ``start`` are read, and one step without a shortcut has no structure."""
    method, start = probe.method(), probe.start()
    training_batch = probe.batch()
    filled_start = replace(start, positions=training_batch.positions, species=training_batch.species)
    for sampler in sampler_names(method):
        sample = probe.sample(method, start, 2, sampler, probe.noise(start))
        gap = probe.difference(probe.sample(method, filled_start, 2, sampler, probe.noise(start)), sample)
        require(
            gap <= TOLERANCE[torch.float32],
            f"sampler '{sampler}' makes another structure if start has the positions and species of a training "
            f"structure ({_distance(gap)}); read only its cells, counts and properties",
        )
    if method.shortcut or probe.task.species_count > 1:
        return
    rows = tuple(range(8))
    method, start = trained(probe, rows), probe.start(rows)
    reference = rdf(probe.dataset.subset(torch.tensor(rows).numpy())).mean
    for sampler in sampler_names(method):
        frames = probe.sample(method, start, 1, sampler, probe.noise(start, rows)).to_atoms(
            probe.task.elements
        )
        error = curve_rmsd(rdf(frames).mean, reference)
        require(
            error > LEAST_RDF_RMSD,
            f"sampler '{sampler}' has an RDF RMSD of {error:.3f} after one step without a shortcut (random "
            f"positions: 1.05; expected: above {LEAST_RDF_RMSD}); sampling must not remember training structures",
        )


def _conditional(probe: Probe) -> bool:
    return len(probe.task.properties) > 0


def _turnable(probe: Probe) -> bool:
    # with three species element noise is drawn by normal_atoms(3), too, and must not be rotated
    return probe.method_class.rotation_equivariant and probe.task.species_count != 3


SAMPLING_CHECKS: tuple[Check[Probe], ...] = (
    Check(any_step_count),
    Check(cells_and_counts_untouched),
    Check(only_known_species),
    Check(same_seed_same_sample),
    Check(other_seed_other_sample),
    Check(batch_mates_do_not_matter),
    Check(concurrent_samples, lambda probe: probe.method_class.concurrent),
    Check(permutation_equivariance),
    Check(translation_equivariance),
    Check(rotation_equivariance, _turnable),
    Check(every_subset_of_properties, _conditional),
    Check(absent_is_not_zero, _conditional),
    Check(no_leak_of_the_answer),
)


def _distance(gap: float) -> str:
    return "other species" if gap == float("inf") else f"by up to {gap:.2g} A"


def _named(probe: Probe, present: Tensor) -> str:
    names = [
        name for name, is_present in zip(probe.task.properties, present.tolist(), strict=True) if is_present
    ]
    return ", ".join(names) or "no property"


def _one(structures: Structures, place: int) -> Structures:
    """The structure of index ``place`` in a batch."""
    first, last = structures.offsets[place : place + 2].tolist()
    return Structures(
        positions=structures.positions[first:last],
        cells=structures.cells[place : place + 1],
        species=structures.species[first:last],
        batch=torch.zeros(last - first, dtype=torch.long),
        counts=structures.counts[place : place + 1],
        properties=structures.properties[place : place + 1],
    )


def _rotation() -> Tensor:
    """Rotation matrix [3, 3] about a general axis, float64."""
    generator = torch.Generator().manual_seed(3)
    skew = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return torch.linalg.matrix_exp(skew - skew.T)
