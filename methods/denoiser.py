"""The flexible denoiser: element and time features and embedded properties around the EGNN (paper, 4.4)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ..benchmark.interface.noise import NoiseSource
from ..benchmark.interface.structures import Structures, means_of_structures, minimum_image
from ..benchmark.interface.task import Task
from .conditioning import FlexiblePropertyEmbedding
from .egnn import edge_sums_triton
from .egnn.config import EGNNConfig
from .egnn.derivatives import (
    differentiable_neighbour_graph,
    is_differentiable,
    refuse_cell_derivatives,
    refuse_transforms,
)
from .egnn.neighbour_table import NeighbourCapacity, NeighbourTable, neighbour_table
from .egnn.network import EGNN
from .egnn.paper_network import PaperEGNN
from .state import Prediction, State

MEAN_SCALE = 17.0
"""Factor of the mean embedding of a structure, about the square root of the number of atoms: the noise of the mean is
then that of one embedding. It is the same for every size, so that larger cells differ by lower noise only."""

ITERATIONS = 8
"""Steps of expectation maximisation of a composition, enough to tell an absent element from a rare one."""

LEAST_FRACTION = 3e-4
"""Smallest fraction of a species, a tenth of an atom in the training cells."""

SORTED_FROM = 4_000
"""Atoms of a structure from which on those that are near in space are put side by side in memory: the rows of fewer
atoms are in a core's cache anyway. Without order, most rows that the edges read come from memory, which doubles the
time of 30,000 atoms (docs/speed.md)."""
ATOMS_PER_BOX = 8

_places: ContextVar[NeighbourCapacity | None] = ContextVar("places", default=None)
"""Capacity that ``Denoiser.deferred_overflow_check`` set for this thread; several threads may sample from one
network."""


_training_places: WeakKeyDictionary[nn.Module, NeighbourCapacity] = WeakKeyDictionary()
"""Capacity of the last training step of each network; not in the networks, which are copied."""


class Denoiser(nn.Module):
    """What all networks of the material methods share: property embedding, null vectors and neighbours.

    element_width: number of species, or 0 with one element and no ghosts, where there is nothing to predict
    """

    backbone: EGNN | PaperEGNN
    predict_species_probabilities = False

    def __init__(self, task: Task, property_width: int) -> None:
        super().__init__()
        self.element_width = task.species_count if task.species_count > 1 else 0
        self.embedding = FlexiblePropertyEmbedding(task, property_width) if task.properties else None

    def null_properties(self, noise: NoiseSource) -> Tensor:
        """Null property vectors [s, width], drawn anew for every sampling step and shared by the network calls of one
        consistency loss."""
        return noise.normal_structures(0 if self.embedding is None else self.embedding.weight.numel())

    @contextmanager
    def deferred_overflow_check(self, structures: Structures) -> Iterator[NeighbourCapacity]:
        """Build neighbour tables without checking for overflow, which would synchronise the device.

        The caller must call ``check()`` of the yielded object afterwards.
        """
        cutoff = self.backbone.config.cutoff
        usable = edge_sums_triton.usable(self.backbone.config, structures.positions)
        places = NeighbourCapacity.expected(structures, cutoff) if usable else NeighbourCapacity(capacity=0)
        before = _places.set(places)
        try:
            yield places
        finally:
            _places.reset(before)

    @contextmanager
    def training_tables(self, structures: Structures) -> Iterator[None]:
        """Build the neighbour tables of one training step, also those of its teacher, without waiting for the device.

        The number of places stays that of the step before, at first one for 1.25 times the density of these structures.
        Whether it was enough is checked at the beginning of the next step: if not, that step has more, and a
        RuntimeWarning says what the earlier one left out. Where another path computes the network, nothing is done.
        """
        usable = edge_sums_triton.usable(self.backbone.config, structures.positions)
        if not usable or is_differentiable() or _places.get() is not None:
            yield
            return
        places = _training_places.get(self)
        if places is None:
            places = NeighbourCapacity.expected(structures, self.backbone.config.cutoff, margin=1.25)
            _training_places[self] = places
        before = places.capacity
        if required := places.end_check():
            warnings.warn(
                f"in the last training step an atom had {required} neighbours, more than the {before} places of its "
                f"table, and the others were left out; tables have {places.capacity} places from here on",
                RuntimeWarning,
                stacklevel=3,
            )
        token = _places.set(places)
        try:
            yield
        finally:
            _places.reset(token)
            places.begin_check()

    def neighbours(self, structures: Structures) -> Graph | NeighbourTable:
        """All pairs within the cutoff, in the form that the backbone reads on this device."""
        cutoff = self.backbone.config.cutoff
        if is_differentiable():
            return differentiable_neighbour_graph(structures, cutoff)
        refuse_transforms()
        refuse_cell_derivatives(structures.cells)
        if not edge_sums_triton.usable(self.backbone.config, structures.positions):
            return neighbour_graph(structures, cutoff)
        capacity = _places.get()
        if capacity is not None:
            return neighbour_table(structures, cutoff, capacity)
        places = NeighbourCapacity.expected(structures, cutoff)
        while True:
            table = neighbour_table(structures, cutoff, places)
            if places.check():
                return table

    def embedded_properties(self, structures: Structures, null: Tensor) -> Tensor:
        """Embeddings [s, width] of the properties; ``null`` stands for those that are absent."""
        return null if self.embedding is None else self.embedding(structures.properties, null)


class FlexibleDenoiser(Denoiser):
    """mu(M_t, y, t) or, with the step size, u(M_t, y, t, dt) (Eq. 5).

    predict_species_probabilities: the element output is a probability distribution over the species. The atom's
        noisy embedding gives the likelihood of each species in closed form; the network reads it and adds the
        information of the neighbourhood. Otherwise the element output is that of the last layer.
    composition: every atom also reads estimates of its structure's composition: the mean embedding and, with
        predict_species_probabilities, the composition of maximum likelihood. They are accurate long before the species
        of single atoms. A separate head adds logits that all atoms of a structure share, so that distant atoms agree on
        the elements.
    self_conditioning: atoms also read an earlier estimate of the sample without noise (arXiv 2208.04202): its distance
        from their noisy position and its species, as numbers that do not change with rotations. Before training this
        input is 0, so that any network of the same sizes can be trained further with it.
    """

    def __init__(
        self,
        task: Task,
        config: EGNNConfig,
        property_width: int = 16,
        *,
        predict_species_probabilities: bool = False,
        composition: bool = False,
        self_conditioning: bool = False,
    ) -> None:
        super().__init__(task, property_width)
        self.predict_species_probabilities = predict_species_probabilities and self.element_width > 0
        self.composition = composition and self.element_width > 0
        self.element_count = len(task.elements)
        composition_width = (
            self.element_width * (1 + self.predict_species_probabilities) if self.composition else 0
        )
        per_structure = composition_width + 3 + property_width * len(task.properties)
        per_atom = self.element_width * (1 + self.predict_species_probabilities)
        self.input = nn.Sequential(
            nn.Linear(per_atom + per_structure, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
        )
        self.estimate_input = None
        if self_conditioning:
            # distance, whether there is an estimate, species
            self.estimate_input = nn.Linear(2 + self.element_width, config.hidden, bias=False)
            nn.init.zeros_(self.estimate_input.weight)
        self.backbone = EGNN(config)
        self.head = nn.Linear(config.hidden, self.element_width) if self.element_width else None
        if self.head is not None and self.predict_species_probabilities:
            nn.init.zeros_(self.head.weight)
        self.composition_head = None
        if self.composition:
            inputs = (
                composition_width
                + self.predict_species_probabilities * self.element_count
                + 3
                + 2 * len(task.properties)
            )
            self.composition_head = _composition_head(inputs, self.element_width)

    def forward(
        self, state: State, null: Tensor, t: Tensor, dt: Tensor, evidence: Tensor | None = None
    ) -> Prediction:
        """The prediction at times t [s] for step sizes dt [s]; dt = 0 gives the instantaneous drift.

        Derivatives with respect to positions, in forward mode and of second order need the context
        ``egnn.derivatives.differentiable``; without it they raise AmsbenchError.

        evidence [n, K]: with ``predict_species_probabilities``, the log-likelihoods of the species from each atom's own
            embedding
        """
        structures = state.structures
        embedded = self.embedded_properties(structures, null)
        times = torch.stack([t, dt, dt / t], dim=-1)
        per_structure, common = torch.cat([times, embedded], dim=-1), None
        if state.elements is not None and self.composition_head is not None:
            composition = [MEAN_SCALE * means_of_structures(state.elements, structures)]
            # the head reads the targets and the composition without ghosts as numbers, which it can compare
            compared = [] if self.embedding is None else [*self.embedding.standardised(structures.properties)]
            if evidence is not None:
                likeliest = likeliest_compositions(evidence, structures)
                composition.append(likeliest.log())
                atoms = likeliest[:, : self.element_count]
                compared.append(MEAN_SCALE * atoms / atoms.sum(1, keepdim=True))
            common = self.composition_head(torch.cat([*composition, *compared, times], dim=-1))
            per_structure = torch.cat([*composition, per_structure], dim=-1)
        features = per_structure[structures.batch]
        if state.elements is not None:
            likelihoods = [] if evidence is None else [torch.softmax(evidence, dim=-1)]
            features = torch.cat([state.elements, *likelihoods, features], dim=-1)
        inputs = self.input(features)
        if self.estimate_input is not None and state.estimate is not None:
            inputs = inputs + self.estimate_input(estimate_features(state, state.estimate))
        order = spatial_order(structures)
        if order is None:
            h, shift = self.backbone(inputs, structures.positions, self.neighbours(structures))
        else:
            sorted_atoms = replace(structures, positions=structures.positions[order])
            neighbours = self.neighbours(sorted_atoms)
            h, shift = self.backbone(inputs[order], sorted_atoms.positions, neighbours)
            back = torch.argsort(order)
            h, shift = h[back], shift[back]
        # a uniform translation of the whole sample carries no structure
        mean = means_of_structures(shift, structures)
        elements = None if self.head is None else self.head(h)
        if elements is not None and common is not None:
            elements = elements + common[structures.batch]
        if elements is not None and evidence is not None:
            elements = torch.softmax(elements + evidence, dim=-1)
        return Prediction(positions=shift - mean[structures.batch], elements=elements)


def spatial_order(structures: Structures) -> Tensor | None:
    """Indices [n] that sort the atoms of every structure of SORTED_FROM and more by boxes of its cell, row by row.

    None where no structure is that large, and on a GPU, whose cache holds more. The order in one structure does not
    depend on the others. Species and properties stay as they were.
    """
    positions, counts = structures.positions.detach(), structures.counts
    if positions.is_cuda or is_differentiable() or len(positions) < SORTED_FROM:
        return None
    if not (counts >= SORTED_FROM).any():
        return None
    boxes = (counts / ATOMS_PER_BOX).pow(1 / 3).round().where(counts >= SORTED_FROM, 1)[structures.batch]
    # cells without volume are refused by the neighbour search
    inverse, _ = torch.linalg.inv_ex(structures.cells)
    fractions = (positions[:, :, None] * inverse[structures.batch]).sum(1) % 1
    x, y, z = torch.minimum((fractions * boxes[:, None]).floor(), boxes[:, None] - 1).long().unbind(1)
    side = boxes.max().long()
    key = ((structures.batch * side + z) * side + y) * side + x
    return torch.argsort(key, stable=True)


def estimate_features(state: State, estimate: State) -> Tensor:
    """Distance (A) of each atom from its estimated position, 1, and its estimated species: [n, 2 + K]."""
    structures = state.structures
    displacements = minimum_image(structures.positions - estimate.structures.positions, structures)
    distances = torch.linalg.vector_norm(displacements, dim=-1, keepdim=True)
    species = [] if estimate.elements is None else [estimate.elements]
    return torch.cat([distances, torch.ones_like(distances), *species], dim=-1)


def _composition_head(inputs: int, species: int) -> nn.Sequential:
    """Two hidden layers; the output is 0 before training."""
    hidden = 128
    last = nn.Linear(hidden, species)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), last)


def likeliest_compositions(evidence: Tensor, structures: Structures) -> Tensor:
    """Maximum-likelihood fractions [s, K] of the species of each structure, given the embeddings of its atoms.

    evidence [n, K]: log-likelihoods of the species from each atom's embedding
    By expectation maximisation from equal fractions; absent species have LEAST_FRACTION.
    """
    fractions = evidence.new_full((len(structures), evidence.shape[1]), 1 / evidence.shape[1])
    for _ in range(ITERATIONS):
        shares = torch.softmax(evidence + fractions.log()[structures.batch], dim=-1)
        fractions = means_of_structures(shares, structures).clamp(min=LEAST_FRACTION)
    return fractions
