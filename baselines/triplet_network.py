"""A message-passing network with angles between pairs of edges, in the spirit of GemNet-dT and DimeNet++.

Facts, not code, of arXiv 2106.08903 (GemNet, the direct-force variant with triplets, which MatterGen and the decoder
of CDVAE use) and arXiv 2011.14115 (DimeNet++, the encoder of CDVAE).

Edges keep states of their own. A triplet is a pair of edges j -> i and k -> i that share their receiver i, as in
GemNet; its angle is the one at i (in DimeNet's pairs k -> j -> i it is the one at the sender j, which the edge
j -> i knows here through the state of j a block later). With x the states of the edges after a projection down to a few
channels, a triplet message is

    sum over k != j of sum over l, c of  W[:, l, c] a_l(d_ij) P_l(cos theta_kij) b_c(d_ik) x_c(k -> i)

with Legendre polynomials P_l and radial functions a, b: the low-rank bilinear form of GemNet, which sums over k before
anything is wide. Since every atom receives at most ``neighbours`` edges, they stand in a table [n, neighbours] and the
triplets of an atom are all pairs in its row: [n, neighbours, neighbours] polynomials per l and one small matrix product
per atom, without an index of triplets. Without the cap, triplets of a cell of 1,300 atoms take gigabytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..benchmark.interface.neighbour_graph import Graph, neighbour_graph
from ..benchmark.interface.structures import Structures
from ..methods.egnn.config import RadialBasis
from ..methods.product_precision import ATOM_ROWS, fast_products, padded_row_count, with_empty_rows

TIE = 1e-5
"""Tolerance of distances, angstrom. Distances that differ by less count as equal in the choice of the nearest
neighbours, so that the shells of a crystal are cut by index and not by rounding errors."""

ENVELOPE_POWER = 5
"""Exponent of the envelope (GemNet's)."""


@dataclass(frozen=True, kw_only=True)
class TripletConfig:
    """Size of the network.

    hidden: width of node and edge states
    blocks: rounds of messages
    cutoff: longest edge, angstrom
    neighbours: largest number of edges that an atom receives, from its nearest neighbours
    radial: number of radial functions of a distance, bells on an even grid
    angular: number of Legendre polynomials of an angle, of degrees 0 to angular - 1
    triplet: channels of an edge's state in triplet messages
    """

    hidden: int = 128
    blocks: int = 3
    cutoff: float = 6.5
    neighbours: int = 20
    radial: int = 24
    angular: int = 7
    triplet: int = 16


@dataclass(frozen=True, kw_only=True)
class NeighbourRows:
    """The edges that each atom receives, in one row of ``k`` slots per atom, nearest neighbours first.

    senders [n, k]: atom indices into the packed batch, the atom itself in slots without an edge
    shifts [n, k, 3]: angstrom, so that the edge vector is x[receiver] - x[sender] - shift
    there [n, k]: whether the slot has an edge
    """

    senders: Tensor
    shifts: Tensor
    there: Tensor

    def vectors(self, positions: Tensor) -> Tensor:
        """Edge vectors [n, k, 3] from the senders to the receivers, 0 in slots without an edge."""
        vectors = positions[:, None] - positions[self.senders] - self.shifts
        return vectors.masked_fill(~self.there[..., None], 0.0)

    def with_empty_rows(self, count: int) -> NeighbourRows:
        """The table with ``count`` rows; added rows have no edges."""
        return NeighbourRows(
            senders=with_empty_rows(self.senders, count),
            shifts=with_empty_rows(self.shifts, count),
            there=with_empty_rows(self.there, count),
        )


def nearest_neighbours(graph: Graph, positions: Tensor, most: int) -> NeighbourRows:
    """The ``most`` shortest edges that each atom receives; among equal ones (TIE) those with smaller sender index.

    graph: sorted by receiver, then by sender. The number of slots is the largest number of edges of an atom, from 1 to
    ``most``.
    """
    n, receivers = len(positions), graph.receivers
    distances = torch.linalg.vector_norm(graph.vectors(positions.detach()).double(), dim=-1)
    ranks = (distances / TIE).round().long()
    key = receivers * (int(ranks.max()) + 1 if len(ranks) else 1) + ranks
    order = torch.argsort(key, stable=True)
    counts = torch.bincount(receivers, minlength=n)
    # the sort is stable, so that the edges of a receiver stay contiguous
    place = torch.arange(len(receivers), device=receivers.device) - (counts.cumsum(0) - counts)[receivers]
    kept = place < most
    slots = max(1, min(most, int(counts.max()) if n else 0))
    at, order = (receivers * slots + place)[kept], order[kept]
    senders = torch.arange(n, device=receivers.device)[:, None].expand(n, slots).reshape(-1)
    senders = senders.index_copy(0, at, graph.senders[order])
    shifts = graph.shifts.new_zeros(n * slots, 3).index_copy(0, at, graph.shifts[order])
    there = torch.zeros_like(senders, dtype=torch.bool).index_fill(0, at, True)
    return NeighbourRows(
        senders=senders.view(n, slots), shifts=shifts.view(n, slots, 3), there=there.view(n, slots)
    )


def envelope(u: Tensor) -> Tensor:
    """Polynomial of u = distance / cutoff that is 1 at 0 and 0 with two vanishing derivatives at 1 (arXiv 2003.03123,
    Eq. 8)."""
    p = ENVELOPE_POWER
    u = u.clamp(max=1.0)
    bracket = (p + 1) * (p + 2) / 2 - p * (p + 2) * u + p * (p + 1) / 2 * u**2
    return 1 - u**p * bracket


def legendre(cosine: Tensor, count: int) -> Tensor:
    """Legendre polynomials of degrees 0 to count - 1, each times sqrt(2 l + 1), so that its mean square over all
    directions is 1: [n, a, b] -> [n, a, count, b]."""
    polynomials = [torch.ones_like(cosine), cosine]
    for degree in range(1, count - 1):
        polynomials.append(
            ((2 * degree + 1) * cosine * polynomials[-1] - degree * polynomials[-2]) / (degree + 1)
        )
    return torch.stack([math.sqrt(2 * d + 1) * p for d, p in enumerate(polynomials[:count])], dim=2)


@dataclass(frozen=True, kw_only=True)
class _Geometry:
    """Geometry of the edges of a state, which all blocks read.

    senders [n k], units [n, k, 3]: edge directions, radial [n, k, radial]: 0 at the cutoff and in empty slots
    angles [n, k angular, k]: polynomials of the angle between every two edges of an atom, 0 of an edge with itself
    """

    senders: Tensor
    units: Tensor
    radial: Tensor
    angles: Tensor


def _of_radial(config: TripletConfig, width: int) -> nn.Linear:
    """A layer on the radial functions with outputs of about unit size: about six functions are nonzero at once."""
    layer = nn.Linear(config.radial, width, bias=False)
    nn.init.normal_(layer.weight, std=0.7)
    return layer


class _Block(nn.Module):
    """One round: triplets -> edges -> atoms -> edges."""

    def __init__(self, config: TripletConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.scale = config.neighbours**-0.5
        self.down = nn.Linear(hidden, config.triplet)
        self.down_radial = _of_radial(config, config.triplet)
        self.up_radial = _of_radial(config, config.angular)
        self.up = nn.Linear(config.angular * config.triplet, hidden, bias=False)
        self.edge = nn.Linear(hidden, hidden)
        self.edge_radial = _of_radial(config, hidden)
        self.node_norm = nn.LayerNorm(hidden)
        self.node = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.receiver = nn.Linear(hidden, hidden)
        self.sender = nn.Linear(hidden, hidden, bias=False)
        self.again = nn.Linear(hidden, hidden, bias=False)
        self.force = nn.Linear(hidden, config.radial)
        nn.init.normal_(self.force.weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.force.bias)

    def forward(self, h: Tensor, m: Tensor, geometry: _Geometry) -> tuple[Tensor, Tensor, Tensor]:
        """New atom states h [n, hidden], new edge states m [n, k, hidden] and the sizes [n, k] of the edges' forces."""
        radial = geometry.radial
        x = nn.functional.silu(self.down(m)) * self.down_radial(radial)
        sums = torch.bmm(geometry.angles, x).view(*m.shape[:2], -1, x.shape[-1]) * self.scale
        sums = sums * self.up_radial(radial)[..., None]
        m = m + nn.functional.silu(self.edge(m) + self.up(sums.flatten(2)))

        gathered = (m * self.edge_radial(radial)).sum(1) * self.scale
        h = h + self.node(torch.cat([self.node_norm(h), gathered], dim=-1))

        ends = self.sender(h).index_select(0, geometry.senders).view_as(m) + self.receiver(h)[:, None]
        m = m + nn.functional.silu(self.again(m) + ends)
        return h, m, (self.force(m) * radial).sum(-1)


class TripletNetwork(nn.Module):
    """Network that computes node features and one vector per atom of periodic structures.

    Equivariant under rotations, mirrors, translations and permutations of atoms; every image within the cutoff is a
    separate neighbour. Contributions of edges vanish smoothly at the cutoff. Only the nearest ``neighbours`` edges of
    an atom count: the function is discontinuous where the last of them and the next one are at the same distance (as in
    GemNet and DimeNet++); for equal distances (shells of a crystal) the smaller index is chosen.
    """

    def __init__(self, config: TripletConfig) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.receiver = nn.Linear(hidden, hidden)
        self.sender = nn.Linear(hidden, hidden, bias=False)
        self.radial = _of_radial(config, hidden)
        self.edge = nn.Linear(hidden, hidden)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(hidden)
        self.basis = RadialBasis(config.radial, config.cutoff)

    def forward(
        self, h: Tensor, structures: Structures, silent: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features [n, hidden] and vectors [n, 3], which are learnt sums of edge directions, from h [n, hidden].

        silent [n]: atoms that send no messages; they still receive messages
        """
        atoms = len(h)
        geometry = self._geometry(structures, silent, padded_row_count(atoms, ATOM_ROWS, h))
        h = with_empty_rows(h, len(geometry.units))
        shape = geometry.radial.shape[:2]
        forces = torch.zeros(shape, dtype=h.dtype, device=h.device)
        with fast_products(h):
            ends = self.sender(h).index_select(0, geometry.senders).view(*shape, -1)
            ends = ends + self.receiver(h)[:, None]
            m = self.edge(nn.functional.silu(ends + self.radial(geometry.radial)))
            for block in self.blocks:
                h, m, more = block(h, m, geometry)
                forces = forces + more
        return self.norm(h)[:atoms], (forces[..., None] * geometry.units).sum(1)[:atoms]

    def _geometry(self, structures: Structures, silent: Tensor | None, atoms: int) -> _Geometry:
        """Geometry with ``atoms`` rows; rows after the atoms of the structures have no edges."""
        config, positions = self.config, structures.positions
        graph = neighbour_graph(structures, config.cutoff)
        if silent is not None:
            graph = graph.chosen(~silent[graph.senders])
        rows = nearest_neighbours(graph, positions, config.neighbours)
        rows = rows.with_empty_rows(atoms)
        vectors = rows.vectors(with_empty_rows(positions, atoms))
        # the square root has no gradient at 0, and two atoms may coincide
        distance = torch.sqrt((vectors**2).sum(-1) + 1e-12)
        units = vectors / distance[..., None]
        smooth = envelope(distance / config.cutoff) * rows.there
        radial = self.basis(distance.flatten()).view(*distance.shape, -1) * smooth[..., None]
        slots = rows.senders.shape[1]
        others = 1 - torch.eye(slots, dtype=units.dtype, device=units.device)
        angles = legendre(torch.bmm(units, units.transpose(1, 2)), config.angular) * others[:, None]
        return _Geometry(
            senders=rows.senders.flatten(), units=units, radial=radial, angles=angles.flatten(1, 2)
        )
