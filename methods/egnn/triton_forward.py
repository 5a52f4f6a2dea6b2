"""The sum of messages over edges as one fused kernel for the GPU, in Triton.

One program computes one receiving atom at a time, over its neighbours in tiles of EDGES: gather, edge MLPs, gate and
both sums stay in registers, so that the neighbour table is the only table of edges in memory. Products are in TYPE
(bfloat16, or float32 for comparisons), everything else, sums and coordinates included, in float32. The kernels are
called from edge_sums_triton.py. The notation is that of ``layer.EGNNLayer``.

Rows of edges are addressed with 64 bits, rows of atoms with 32, which limits a batch to
``edge_sums_triton.MOST_ATOMS``.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(v):
    return 1 / (1 + tl.exp(-v))


@triton.jit
def tanh(v):
    """For v >= 0, where an overflow of the exponential gives 1."""
    return 1 - 2 / (tl.exp(2 * v) + 1)


@triton.jit
def product(a, b, TYPE: tl.constexpr, DOT: tl.constexpr):
    """Matrix product of factors that are rounded to TYPE and multiplied in DOT, since the interpreter cannot multiply
    bfloat16."""
    return tl.dot(a.to(TYPE).to(DOT), b.to(TYPE).to(DOT), input_precision="ieee")


@triton.jit
def three_zeros(SIZE: tl.constexpr):
    zero = tl.zeros([SIZE], tl.float32)
    return zero, zero, zero


@triton.jit
def load_edges(senders, geometry, plane, row, start, count, EDGES: tl.constexpr):
    """One tile of edges: whether real is an edge, sender, shift, distance, and smooth cutoff, which is 0 beyond the
    last edge."""
    k = start + tl.arange(0, EDGES)
    real = k < count
    at, wide = row + k, tl.cast(plane, tl.int64)
    j = tl.load(senders + at, mask=real, other=0)
    sx = tl.load(geometry + at, mask=real, other=0.0)
    sy = tl.load(geometry + wide + at, mask=real, other=0.0)
    sz = tl.load(geometry + 2 * wide + at, mask=real, other=0.0)
    distance = tl.load(geometry + 3 * wide + at, mask=real, other=0.0)
    smooth = tl.load(geometry + 4 * wide + at, mask=real, other=0.0)
    return real, j, sx, sy, sz, distance, smooth


@triton.jit
def differences(x, i, j, sx, sy, sz, LANES: tl.constexpr, CHANNELS: tl.constexpr):
    """The three components [e, lanes] of the edge vectors of all channels of x [n, 3, channels]; 0 in lanes without a
    channel."""
    lane = tl.arange(0, LANES)
    used = lane < CHANNELS
    of_i = x + i * (3 * CHANNELS) + lane
    of_j = x + j[:, None] * (3 * CHANNELS) + lane[None, :]
    both = used[None, :] & (j[:, None] >= 0)
    dx = tl.load(of_i, mask=used, other=0.0)[None, :] - tl.load(of_j, mask=both, other=0.0)
    dy = tl.load(of_i + CHANNELS, mask=used, other=0.0)[None, :]
    dy -= tl.load(of_j + CHANNELS, mask=both, other=0.0)
    dz = tl.load(of_i + 2 * CHANNELS, mask=used, other=0.0)[None, :]
    dz -= tl.load(of_j + 2 * CHANNELS, mask=both, other=0.0)
    dx = tl.where(used[None, :], dx - sx[:, None], 0.0)
    dy = tl.where(used[None, :], dy - sy[:, None], 0.0)
    dz = tl.where(used[None, :], dz - sz[:, None], 0.0)
    return dx, dy, dz


@triton.jit
def radial_basis(distance, spacing, RADIAL: tl.constexpr):
    """The radial basis [e, radial] of ``config.RadialBasis``."""
    u = (distance[:, None] - tl.arange(0, RADIAL)[None, :] * spacing) / (3 * spacing)
    bell = tl.maximum(1 - u * u, 0.0)
    return bell * bell * bell


@triton.jit
def channel_invariants(dx, dy, dz, cutoff):
    """The invariants 2 tanh(d^2 / r_cut^2) - 1 of all lanes (Eq. 12)."""
    return 2 * tanh((dx * dx + dy * dy + dz * dz) / (cutoff * cutoff)) - 1


@triton.jit
def load_edge_weights(
    edge_w, half, HIDDEN: tl.constexpr, RADIAL: tl.constexpr, LANES: tl.constexpr, CHANNELS: tl.constexpr
):
    """The weights of the radial basis and of the invariants in one half of the first edge layers."""
    h, radial, lane = half + tl.arange(0, HIDDEN), tl.arange(0, RADIAL), tl.arange(0, LANES)
    of_basis = tl.load(edge_w + radial[:, None] * (2 * HIDDEN) + h[None, :])
    of_lanes = of_basis
    if CHANNELS > 1:
        rows = edge_w + (RADIAL + lane[:, None]) * (2 * HIDDEN) + h[None, :]
        of_lanes = tl.load(rows, mask=(lane < CHANNELS)[:, None], other=0.0)
    return of_basis, of_lanes


@triton.jit
def first_layer(
    of_receiver, sender, w_basis, w_lanes, j, real, basis, invariants, half,
    HIDDEN: tl.constexpr, CHANNELS: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """The first edge layer before its activation [e, hidden]: columns from ``half`` on."""
    total = product(basis, w_basis, TYPE, DOT)
    if CHANNELS > 1:
        total += product(invariants, w_lanes, TYPE, DOT)
    h = half + tl.arange(0, HIDDEN)
    total += tl.load(sender + j[:, None] * (2 * HIDDEN) + h[None, :], mask=real[:, None], other=0.0)
    return total + of_receiver[None, :]


@triton.jit(do_not_specialize=["nodes"])
def layer_forward(
    senders, geometry, counts, plane, capacity, nodes,
    receiver, sender,  # [n, 2 hidden]
    x,  # [n, 3, channels]
    edge_w,  # [radial + channels, 2 hidden]
    message_w,  # [hidden in, hidden out]
    message_b, gate_w, gate_b,
    shift_w,  # [hidden, outgoing * channels]
    shift_b, cutoff, spacing,
    out_h,  # [n, hidden]
    out_x,  # [n, outgoing, 3]
    HIDDEN: tl.constexpr, RADIAL: tl.constexpr, CHANNELS: tl.constexpr, OUTGOING: tl.constexpr,
    EDGES: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """a_ij m_ij c_ij and Phi_ij d_ij / (|d_ij| + 1) c_ij summed over the neighbours of each atom (Eq. 13)."""
    LANES: tl.constexpr = 16  # of the invariants, for the smallest matrix product
    COLUMNS: tl.constexpr = OUTGOING * CHANNELS
    h, column, out = tl.arange(0, HIDDEN), tl.arange(0, COLUMNS), tl.arange(0, OUTGOING)
    m_basis, m_lanes = load_edge_weights(edge_w, 0, HIDDEN, RADIAL, LANES, CHANNELS)
    s_basis, s_lanes = load_edge_weights(edge_w, HIDDEN, HIDDEN, RADIAL, LANES, CHANNELS)
    w_message = tl.load(message_w + h[:, None] * HIDDEN + h[None, :])
    w_shift = tl.load(shift_w + h[:, None] * COLUMNS + column[None, :])
    b_message, w_gate, b_gate = tl.load(message_b + h), tl.load(gate_w + h), tl.load(gate_b)
    b_shift = tl.load(shift_b + column)
    for i in range(tl.program_id(0), nodes, tl.num_programs(0)):
        count = tl.minimum(tl.load(counts + i), capacity)
        row = tl.cast(i, tl.int64) * capacity
        of_message = tl.load(receiver + i * (2 * HIDDEN) + h)
        of_shift = tl.load(receiver + i * (2 * HIDDEN) + HIDDEN + h)
        gathered = tl.zeros([HIDDEN], tl.float32)
        tx, ty, tz = three_zeros(OUTGOING)
        for start in range(0, count, EDGES):
            real, j, sx, sy, sz, distance, smooth = load_edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = radial_basis(distance, spacing, RADIAL)
            invariants = basis
            if CHANNELS > 1:
                wx, wy, wz = differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = channel_invariants(wx, wy, wz, cutoff)
            first = first_layer(
                of_message, sender, m_basis, m_lanes, j, real, basis, invariants, 0,
                HIDDEN, CHANNELS, TYPE, DOT,
            )  # fmt: skip
            m = product(first * sigmoid(first), w_message, TYPE, DOT) + b_message[None, :]
            m *= sigmoid(m)
            gate = sigmoid(tl.sum(m * w_gate[None, :], 1) + b_gate) * smooth
            gathered += tl.sum(m * gate[:, None], 0)

            first = first_layer(
                of_shift, sender, s_basis, s_lanes, j, real, basis, invariants, HIDDEN,
                HIDDEN, CHANNELS, TYPE, DOT,
            )  # fmt: skip
            phi = product(first * sigmoid(first), w_shift, TYPE, DOT) + b_shift[None, :]
            phi = tl.reshape(phi, [EDGES, OUTGOING, CHANNELS])
            dx, dy, dz = differences(x, i, j, sx, sy, sz, CHANNELS, CHANNELS)
            scale = smooth[:, None] / (tl.sqrt(dx * dx + dy * dy + dz * dz + 1e-12) + 1)
            tx += tl.sum(tl.sum(phi * (dx * scale)[:, None, :], 2), 0)
            ty += tl.sum(tl.sum(phi * (dy * scale)[:, None, :], 2), 0)
            tz += tl.sum(tl.sum(phi * (dz * scale)[:, None, :], 2), 0)
        tl.store(out_h + i * HIDDEN + h, gathered)
        at = out_x + (i * OUTGOING + out) * 3
        tl.store(at, tx)
        tl.store(at + 1, ty)
        tl.store(at + 2, tz)
