"""MeshGraphNets (Pfaff et al. 2021, arXiv 2010.03409) on atoms, and the two networks of Graphite.

Encoder, processor and decoder: atoms and edges have states. The encoder gives the initial states; a
layer of the processor updates every edge from its own state and those of its two atoms, then every atom from its own
state and the sum over its edges, both as residuals behind a LayerNorm; the decoder reads the atoms.

The input of an edge is its vector, three components and the length in angstrom. The network is therefore equivariant
under translations and permutations and respects periodic images, but has to learn rotations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ...benchmark.interface.noise import NoiseSource
from ...benchmark.interface.structures import Structures
from ...benchmark.interface.task import Task
from ...methods.conditioning import FlexiblePropertyEmbedding
from ...methods.product_precision import (
    ATOM_ROWS,
    EDGE_ROWS,
    fast_products,
    padded_row_count,
    with_empty_rows,
)
from ...methods.state import Prediction, State

EDGE_INPUTS = 4
"""Components and length of an edge vector."""

FREQUENCIES = 1.0
"""Standard deviation of the frequencies of the time features, periods per unit of t."""


@dataclass(frozen=True, kw_only=True)
class MeshGraphNetConfig:
    """Size of a network: width of all states, layers of the processor, longest edge in angstrom."""

    hidden: int = 128
    layers: int = 4
    cutoff: float = 5.0


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A network with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class TimeFeatures(nn.Module):
    """Cosines and sines of t with fixed random frequencies (arXiv 2006.10739)."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", FREQUENCIES * torch.randn(width // 2))

    def forward(self, t: Tensor) -> Tensor:
        """Cosines and sines [s, width] of times t [s]."""
        phases = 2 * torch.pi * t[:, None] * self.frequencies
        return torch.cat([phases.cos(), phases.sin()], dim=-1)


class MeshLayer(nn.Module):
    """Layer of the processor that updates edges, then atoms."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        # the first layer of the edge network acts on [v_i, v_j, e_ij]; its part for atoms is computed once per atom
        # instead of once per edge, which is the same function with a third of the multiplications
        self.receiver = nn.Linear(hidden, hidden)
        self.sender = nn.Linear(hidden, hidden, bias=False)
        self.edge = nn.Linear(hidden, hidden, bias=False)
        self.edge_rest = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.LayerNorm(hidden))
        self.node = nn.Sequential(perceptron(2 * hidden, hidden, hidden), nn.LayerNorm(hidden))

    def forward(
        self, v: Tensor, e: Tensor, graph: Graph, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """New states of the atoms [n, hidden] and of the edges [e, hidden].

        weights [e, 1]: weights of the edges in the sums over the edges of an atom
        """
        of_receivers = self.receiver(v).index_select(0, graph.receivers)
        of_senders = self.sender(v).index_select(0, graph.senders)
        e = e + self.edge_rest(self.edge(e) + of_receivers + of_senders)
        sent = e.to(v.dtype) if weights is None else e * weights
        gathered = torch.zeros_like(v).index_add_(0, graph.receivers, sent)
        return v + self.node(torch.cat([v, gathered], dim=-1)), e


class MeshGraphNet(nn.Module):
    """Network of encoder, processor and decoder; with ``timed`` the encoder adds features of t to the atoms.

    The encoder also adds an encoding of the conditioning, ``conditioning_width`` numbers per structure, which is 0 at
    the beginning of a training: random functions of properties, and of the noise in place of absent ones, would
    dominate the states of the atoms, and the network would not learn positions (docs/studies/graphite_and_ghosts.py).
    """

    def __init__(
        self,
        config: MeshGraphNetConfig,
        inputs: int,
        outputs: int,
        *,
        timed: bool,
        conditioning_width: int = 0,
    ) -> None:
        super().__init__()
        hidden = config.hidden
        self.config = config
        self.encode_node = nn.Sequential(perceptron(inputs, hidden, hidden), nn.LayerNorm(hidden))
        self.encode_edge = nn.Sequential(perceptron(EDGE_INPUTS, hidden, hidden), nn.LayerNorm(hidden))
        self.encode_time = None
        if timed:
            self.encode_time = nn.Sequential(
                TimeFeatures(hidden), perceptron(hidden, hidden, hidden), nn.LayerNorm(hidden)
            )
        self.encode_conditioning = None
        if conditioning_width:
            self.encode_conditioning = perceptron(conditioning_width, hidden, hidden)
            with torch.no_grad():
                for parameter in self.encode_conditioning[-1].parameters():
                    parameter.zero_()
        self.layers = nn.ModuleList(MeshLayer(hidden) for _ in range(config.layers))
        self.decode = perceptron(hidden, hidden, outputs)

    def forward(
        self,
        features: Tensor,
        structures: Structures,
        t: Tensor | None = None,
        conditioning: Tensor | None = None,
        presence: Tensor | None = None,
    ) -> Tensor:
        """Outputs [n, outputs] for features [n, inputs] at times t [s], differentiable in all inputs and positions.

        conditioning [s, width]: embedded properties of each structure
        presence [n, 1]: weight of an atom in the sums over the neighbours of others
        """
        graph, rows = with_empty_edges(neighbour_graph(structures, self.config.cutoff), features)
        positions, batch = (with_empty_rows(x, rows) for x in (structures.positions, structures.batch))
        weights = None
        if presence is not None:
            weights = with_empty_rows(presence, rows).index_select(0, graph.senders)
        v = self.encode_node(with_empty_rows(features, rows))
        if self.encode_time is not None and t is not None:
            v = v + self.encode_time(t)[batch]
        if self.encode_conditioning is not None and conditioning is not None:
            v = v + self.encode_conditioning(conditioning)[batch]
        # an edge vector rounded to bfloat16 is off by as much as 0.01 A
        first, *others = self.encode_edge[0].children()
        e = first(edge_inputs(graph, positions))
        with fast_products(v):
            for part in (*others, self.encode_edge[1]):
                e = part(e)
            for layer in self.layers:
                v, e = layer(v, e, graph, weights)
        return self.decode(v.to(features.dtype))[: len(features)]


def with_empty_edges(graph: Graph, features: Tensor) -> tuple[Graph, int]:
    """The graph padded to round numbers of edges and atoms (``padded_row_count``), and the number of atoms.

    The added edges have length 0 and lead from an added atom to itself, so that they do not affect any other atom.
    """
    spare = padded_row_count(len(graph.senders), EDGE_ROWS, features) - len(graph.senders)
    if not spare:
        return graph, padded_row_count(len(features), ATOM_ROWS, features)
    rows = padded_row_count(len(features) + 1, ATOM_ROWS, features)
    ends = graph.senders.new_full((spare,), rows - 1)
    added = Graph(
        receivers=torch.cat([graph.receivers, ends]),
        senders=torch.cat([graph.senders, ends]),
        shifts=with_empty_rows(graph.shifts, len(graph.shifts) + spare),
    )
    return added, rows


def edge_inputs(graph: Graph, positions: Tensor) -> Tensor:
    """Components and length of every edge vector, angstrom: [e, 4]."""
    vectors = graph.vectors(positions)
    # the square root has no gradient at 0, and two atoms may coincide
    lengths = torch.sqrt((vectors**2).sum(-1, keepdim=True) + 1e-12)
    return torch.cat([vectors, lengths], dim=-1)


def presence_of(likely: Tensor, ghost: int | None) -> Tensor | None:
    """Probability [n, 1] that an atom is not a ghost, from species probabilities [n, K]; None without ghosts."""
    return None if ghost is None else 1 - likely[:, ghost, None]


class GraphiteScoreNetwork(nn.Module):
    """Network that predicts eps of the positions and, for several species, their probabilities, from M_t, y and t.

    The likelihood of each species given an atom's noisy embedding is known in closed form
    (``ElementProcess.species_log_likelihood``); the network reads its softmax and adds logits to it, so that it has to
    learn the effect of the neighbourhood alone. The weight of an atom for its neighbours is the probability that it is
    not a ghost: ghosts are uniform in the cell, and their messages would be noise.
    """

    def __init__(self, task: Task, config: MeshGraphNetConfig, property_width: int) -> None:
        super().__init__()
        self.ghost = task.ghost
        self.species = task.species_count if task.species_count > 1 else 0
        self.embedding = FlexiblePropertyEmbedding(task, property_width) if task.properties else None
        conditioning_width = property_width * len(task.properties)
        self.network = MeshGraphNet(
            config, 2 * self.species or 1, 3 + self.species, timed=True, conditioning_width=conditioning_width
        )

    def null_properties(self, noise: NoiseSource) -> Tensor:
        """Null vectors [s, width] for absent properties, drawn anew for every evaluation."""
        return noise.normal_structures(0 if self.embedding is None else self.embedding.weight.numel())

    def forward(self, state: State, null: Tensor, t: Tensor, evidence: Tensor | None) -> Prediction:
        """eps [n, 3], and probabilities E[E_0 | M_t] [n, K] or None, at times t [s].

        evidence [n, K]: log-likelihoods of the species
        """
        structures, e = state.structures, state.elements
        features, presence = [torch.ones_like(structures.positions[:, :1])], None
        if e is not None and evidence is not None:
            likely = torch.softmax(evidence, dim=-1)
            features = [e, likely]
            presence = presence_of(likely, self.ghost)
        conditioning = None if self.embedding is None else self.embedding(structures.properties, null)
        output = self.network(torch.cat(features, dim=-1), structures, t, conditioning, presence)
        if evidence is None:
            return Prediction(positions=output, elements=None)
        return Prediction(positions=output[:, :3], elements=torch.softmax(output[:, 3:] + evidence, dim=-1))


class PropertyNetwork(nn.Module):
    """Network that predicts standardised properties of clean structures as means over atoms without ghosts."""

    def __init__(self, task: Task, config: MeshGraphNetConfig) -> None:
        super().__init__()
        self.ghost = task.ghost
        species = task.species_count if task.species_count > 1 else 1
        self.network = MeshGraphNet(config, species, len(task.properties), timed=False)

    def forward(self, structures: Structures, elements: Tensor | None) -> Tensor:
        """Properties [s, p]; elements [n, K] are one-hot or probabilities, None for a single species."""
        features = torch.ones_like(structures.positions[:, :1]) if elements is None else elements
        presence = None if elements is None else presence_of(elements, self.ghost)
        output = self.network(features, structures, presence=presence)
        weights = torch.ones_like(output[:, :1]) if presence is None else presence
        sums = output.new_zeros(len(structures), output.shape[1] + 1).index_add_(
            0, structures.batch, torch.cat([weights * output, weights], dim=-1)
        )
        return sums[:, :-1] / sums[:, -1:].clamp(min=1e-6)
