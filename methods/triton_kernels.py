"""Fused kernels of the denoiser for the GPU, in Triton: neighbour tables and the edge part of a layer.

One program owns a receiving atom at a time and walks over its neighbours in tiles of EDGES: gather, edge MLPs, gate
and both sums stay in registers, so that no table of edges but the neighbour list itself is ever in memory. Products
are of TYPE (bfloat16, or float32 for comparisons), everything else, sums and coordinates included, is float32.
``fused.py`` has the functions that call these. The notation is that of ``egnn.Layer``.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _sigmoid(v):
    return 1 / (1 + tl.exp(-v))


@triton.jit
def _tanh(v):
    """For v >= 0, where nothing overflows to a number that is not one."""
    return 1 - 2 / (tl.exp(2 * v) + 1)


@triton.jit
def _round(v):
    return tl.floor(v + 0.5)


@triton.jit
def _product(a, b, TYPE: tl.constexpr, DOT: tl.constexpr):
    """Matrix product with factors rounded to TYPE, handed over as DOT: the interpreter cannot multiply bfloat16."""
    return tl.dot(a.to(TYPE).to(DOT), b.to(TYPE).to(DOT), input_precision="ieee")


@triton.jit
def neighbour_table(
    positions,  # [n, 3]
    fractions,  # [n, 3] of the same positions
    cells,  # [s, 3, 3]
    offsets,  # [s + 1] first atom of each structure
    batch,  # [n] structure of each atom
    images,  # [s, 3] images beyond the nearest that may be in reach, each way
    cutoff,
    capacity,  # neighbours that a row has room for
    counts,  # [n] out: neighbours found, also those without room
    senders,  # [n, capacity] out
    geometry,  # [5, n, capacity] out: shift (3), distance, smooth cutoff
    plane,  # n * capacity
    BLOCK: tl.constexpr,
):
    """All atoms and images within the cutoff of one atom."""
    i = tl.program_id(0)
    s = tl.load(batch + i)
    first, last = tl.load(offsets + s), tl.load(offsets + s + 1)
    x, y, z = tl.load(positions + 3 * i), tl.load(positions + 3 * i + 1), tl.load(positions + 3 * i + 2)
    fa, fb, fc = tl.load(fractions + 3 * i), tl.load(fractions + 3 * i + 1), tl.load(fractions + 3 * i + 2)
    cell = cells + 9 * s
    ax, ay, az = tl.load(cell), tl.load(cell + 1), tl.load(cell + 2)
    bx, by, bz = tl.load(cell + 3), tl.load(cell + 4), tl.load(cell + 5)
    cx, cy, cz = tl.load(cell + 6), tl.load(cell + 7), tl.load(cell + 8)
    na, nb, nc = tl.load(images + 3 * s), tl.load(images + 3 * s + 1), tl.load(images + 3 * s + 2)
    row = i.to(tl.int64) * capacity
    found = 0
    for start in range(first, last, BLOCK):
        j = start + tl.arange(0, BLOCK)
        inside = j < last
        nearest_a = _round(fa - tl.load(fractions + 3 * j, mask=inside, other=0.0))
        nearest_b = _round(fb - tl.load(fractions + 3 * j + 1, mask=inside, other=0.0))
        nearest_c = _round(fc - tl.load(fractions + 3 * j + 2, mask=inside, other=0.0))
        dx = x - tl.load(positions + 3 * j, mask=inside, other=0.0)
        dy = y - tl.load(positions + 3 * j + 1, mask=inside, other=0.0)
        dz = z - tl.load(positions + 3 * j + 2, mask=inside, other=0.0)
        for a in range(-na, na + 1):
            for b in range(-nb, nb + 1):
                for c in range(-nc, nc + 1):
                    ma, mb, mc = nearest_a + a, nearest_b + b, nearest_c + c
                    sx = ma * ax + mb * bx + mc * cx
                    sy = ma * ay + mb * by + mc * cy
                    sz = ma * az + mb * bz + mc * cz
                    squared = (dx - sx) * (dx - sx) + (dy - sy) * (dy - sy) + (dz - sz) * (dz - sz)
                    itself = (j == i) & (ma == 0) & (mb == 0) & (mc == 0)
                    near = inside & (squared < cutoff * cutoff) & (itself == 0)
                    place = found + tl.cumsum(near.to(tl.int32), 0) - 1
                    room = near & (place < capacity)
                    distance = tl.sqrt(squared + 1e-12)
                    decay = _tanh(tl.maximum(1 - distance / cutoff, 0.0))
                    at = row + place
                    tl.store(senders + at, j, mask=room)
                    tl.store(geometry + at, sx, mask=room)
                    tl.store(geometry + plane + at, sy, mask=room)
                    tl.store(geometry + 2 * plane + at, sz, mask=room)
                    tl.store(geometry + 3 * plane + at, distance, mask=room)
                    tl.store(geometry + 4 * plane + at, 2 * decay * decay, mask=room)
                    found += tl.sum(near.to(tl.int32), 0)
    tl.store(counts + i, found)


@triton.jit
def _edges(senders, geometry, plane, row, start, count, EDGES: tl.constexpr):
    """One tile of edges: senders, shifts, distance and smooth cutoff, which is 0 beyond the last edge."""
    k = start + tl.arange(0, EDGES)
    there = k < count
    at = row + k
    j = tl.load(senders + at, mask=there, other=0)
    sx = tl.load(geometry + at, mask=there, other=0.0)
    sy = tl.load(geometry + plane + at, mask=there, other=0.0)
    sz = tl.load(geometry + 2 * plane + at, mask=there, other=0.0)
    distance = tl.load(geometry + 3 * plane + at, mask=there, other=0.0)
    smooth = tl.load(geometry + 4 * plane + at, mask=there, other=0.0)
    return there, j, sx, sy, sz, distance, smooth


@triton.jit
def _differences(x, i, j, sx, sy, sz, LANES: tl.constexpr, CHANNELS: tl.constexpr):
    """Three components of d [e, lanes] of all channels of x [n, 3, channels]; 0 in lanes without a channel."""
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
def _basis(distance, spacing, RADIAL: tl.constexpr):
    """The radial basis [e, radial] of ``egnn.RadialBasis``."""
    u = (distance[:, None] - tl.arange(0, RADIAL)[None, :] * spacing) / (3 * spacing)
    bell = tl.maximum(1 - u * u, 0.0)
    return bell * bell * bell


@triton.jit
def _invariants(dx, dy, dz, cutoff):
    """tanh(d^2 / r_cut^2) * 2 - 1 of every lane."""
    return 2 * _tanh((dx * dx + dy * dy + dz * dz) / (cutoff * cutoff)) - 1


@triton.jit
def _edge_weights(
    edge_w, half, HIDDEN: tl.constexpr, RADIAL: tl.constexpr, LANES: tl.constexpr, CHANNELS: tl.constexpr
):
    """The rows of the basis and of the invariants in one half of the first edge layers."""
    h, radial, lane = half + tl.arange(0, HIDDEN), tl.arange(0, RADIAL), tl.arange(0, LANES)
    of_basis = tl.load(edge_w + radial[:, None] * (2 * HIDDEN) + h[None, :])
    of_lanes = of_basis
    if CHANNELS > 1:
        rows = edge_w + (RADIAL + lane[:, None]) * (2 * HIDDEN) + h[None, :]
        of_lanes = tl.load(rows, mask=(lane < CHANNELS)[:, None], other=0.0)
    return of_basis, of_lanes


@triton.jit
def _first_layer(
    of_receiver, sender, w_basis, w_lanes, j, there, basis, invariants, half,
    HIDDEN: tl.constexpr, CHANNELS: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Edge MLP up to its first activation [e, hidden]: columns from ``half`` on."""
    total = _product(basis, w_basis, TYPE, DOT)
    if CHANNELS > 1:
        total += _product(invariants, w_lanes, TYPE, DOT)
    h = half + tl.arange(0, HIDDEN)
    total += tl.load(sender + j[:, None] * (2 * HIDDEN) + h[None, :], mask=there[:, None], other=0.0)
    return total + of_receiver[None, :]


@triton.jit
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
    EDGES: tl.constexpr, TYPE: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """a_ij m_ij c_ij and Phi_ij d_ij / (|d_ij| + 1) c_ij summed over the neighbours of each atom (paper, Eq. 13)."""
    LANES: tl.constexpr = 16  # of the invariants, for the smallest matrix product
    COLUMNS: tl.constexpr = OUTGOING * CHANNELS
    h, column, out = tl.arange(0, HIDDEN), tl.arange(0, COLUMNS), tl.arange(0, OUTGOING)
    m_basis, m_lanes = _edge_weights(edge_w, 0, HIDDEN, RADIAL, LANES, CHANNELS)
    s_basis, s_lanes = _edge_weights(edge_w, HIDDEN, HIDDEN, RADIAL, LANES, CHANNELS)
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
        tx, ty, tz = (
            tl.zeros([OUTGOING], tl.float32),
            tl.zeros([OUTGOING], tl.float32),
            tl.zeros([OUTGOING], tl.float32),
        )
        for start in range(0, count, EDGES):
            there, j, sx, sy, sz, distance, smooth = _edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = _basis(distance, spacing, RADIAL)
            invariants = basis
            if CHANNELS > 1:
                wx, wy, wz = _differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = _invariants(wx, wy, wz, cutoff)
            first = _first_layer(
                of_message,
                sender,
                m_basis,
                m_lanes,
                j,
                there,
                basis,
                invariants,
                0,
                HIDDEN,
                CHANNELS,
                TYPE,
                DOT,
            )
            m = _product(first * _sigmoid(first), w_message, TYPE, DOT) + b_message[None, :]
            m *= _sigmoid(m)
            gate = _sigmoid(tl.sum(m * w_gate[None, :], 1) + b_gate) * smooth
            gathered += tl.sum(m * gate[:, None], 0)

            first = _first_layer(
                of_shift,
                sender,
                s_basis,
                s_lanes,
                j,
                there,
                basis,
                invariants,
                HIDDEN,
                HIDDEN,
                CHANNELS,
                TYPE,
                DOT,
            )
            phi = _product(first * _sigmoid(first), w_shift, TYPE, DOT) + b_shift[None, :]
            phi = tl.reshape(phi, [EDGES, OUTGOING, CHANNELS])
            dx, dy, dz = _differences(x, i, j, sx, sy, sz, CHANNELS, CHANNELS)
            scale = smooth[:, None] / (tl.sqrt(dx * dx + dy * dy + dz * dz + 1e-12) + 1)
            tx += tl.sum(tl.sum(phi * (dx * scale)[:, None, :], 2), 0)
            ty += tl.sum(tl.sum(phi * (dy * scale)[:, None, :], 2), 0)
            tz += tl.sum(tl.sum(phi * (dz * scale)[:, None, :], 2), 0)
        tl.store(out_h + i * HIDDEN + h, gathered)
        at = out_x + (i * OUTGOING + out) * 3
        tl.store(at, tx)
        tl.store(at + 1, ty)
        tl.store(at + 2, tz)


@triton.jit
def _through_first_layer(
    change, grad_sender, grad_x, w_lanes, j, there, dx, dy, dz, cutoff, half, HIDDEN: tl.constexpr,
    LANES: tl.constexpr, CHANNELS: tl.constexpr, NEED_X: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Hand the gradient ``change`` [e, hidden] of ``_first_layer`` on to senders and channel positions; returns
    what the receiver's own position gets, three rows of [lanes]."""
    h, lane = tl.arange(0, HIDDEN), tl.arange(0, LANES)
    tl.atomic_add(
        grad_sender + j[:, None] * (2 * HIDDEN) + half + h[None, :],
        change,
        mask=there[:, None],
        sem="relaxed",
    )
    gx, gy, gz = tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32), tl.zeros([LANES], tl.float32)
    if NEED_X and CHANNELS > 1:
        of_invariants = _product(change, tl.trans(w_lanes), TYPE, DOT)
        t = _tanh((dx * dx + dy * dy + dz * dz) / (cutoff * cutoff))
        factor = of_invariants * (1 - t * t) * (4 / (cutoff * cutoff))
        dx, dy, dz = dx * factor, dy * factor, dz * factor
        gx, gy, gz = tl.sum(dx, 0), tl.sum(dy, 0), tl.sum(dz, 0)
        mask = there[:, None] & (lane < CHANNELS)[None, :]
        at = grad_x + j[:, None] * (3 * CHANNELS) + lane[None, :]
        tl.atomic_add(at, -dx, mask=mask, sem="relaxed")
        tl.atomic_add(at + CHANNELS, -dy, mask=mask, sem="relaxed")
        tl.atomic_add(at + 2 * CHANNELS, -dz, mask=mask, sem="relaxed")
    return gx, gy, gz


@triton.jit
def message_backward(
    senders, geometry, counts, plane, capacity, nodes,
    receiver, sender, x, edge_w, message_w, message_b, gate_w, gate_b, cutoff, spacing,
    grad_h,  # [n, hidden]
    grad_receiver, grad_sender,  # [n, 2 hidden]: the first half; the second is zero on entry
    grad_x,  # [n, 3, channels], added to
    edge_part,  # [programs, radial + channels, 2 hidden]: the first half
    message_part,  # [programs, hidden, hidden]
    vector_part,  # [programs, 3, hidden]: message_b, gate_w, gate_b (in the first place)
    HIDDEN: tl.constexpr, RADIAL: tl.constexpr, CHANNELS: tl.constexpr, NEED_X: tl.constexpr,
    EDGES: tl.constexpr, TYPE: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """Gradients through the messages of ``layer_forward``; those of the weights as one part per program."""
    LANES: tl.constexpr = 16
    h, lane = tl.arange(0, HIDDEN), tl.arange(0, LANES)
    radial = tl.arange(0, RADIAL)
    of_radial = tl.zeros([RADIAL, HIDDEN], tl.float32)
    of_lanes = tl.zeros([LANES, HIDDEN], tl.float32)
    of_message = tl.zeros([HIDDEN, HIDDEN], tl.float32)
    of_bias, of_gate = tl.zeros([HIDDEN], tl.float32), tl.zeros([HIDDEN], tl.float32)
    of_gate_b = 0.0
    w_basis, w_lanes = _edge_weights(edge_w, 0, HIDDEN, RADIAL, LANES, CHANNELS)
    w_message = tl.load(message_w + h[:, None] * HIDDEN + h[None, :])
    b_message, w_gate, b_gate = tl.load(message_b + h), tl.load(gate_w + h), tl.load(gate_b)
    for i in range(tl.program_id(0), nodes, tl.num_programs(0)):
        count = tl.minimum(tl.load(counts + i), capacity)
        row = tl.cast(i, tl.int64) * capacity
        above = tl.load(grad_h + i * HIDDEN + h)
        part = tl.load(receiver + i * (2 * HIDDEN) + h)
        of_receiver = tl.zeros([HIDDEN], tl.float32)
        gx, gy, gz = (
            tl.zeros([LANES], tl.float32),
            tl.zeros([LANES], tl.float32),
            tl.zeros([LANES], tl.float32),
        )
        for start in range(0, count, EDGES):
            there, j, sx, sy, sz, distance, smooth = _edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = _basis(distance, spacing, RADIAL)
            invariants, wx, wy, wz = basis, basis, basis, basis
            if CHANNELS > 1:
                wx, wy, wz = _differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = _invariants(wx, wy, wz, cutoff)
            first = _first_layer(
                part, sender, w_basis, w_lanes, j, there, basis, invariants, 0, HIDDEN, CHANNELS, TYPE, DOT
            )
            s_first = _sigmoid(first)
            active = first * s_first
            second = _product(active, w_message, TYPE, DOT) + b_message[None, :]
            s_second = _sigmoid(second)
            m = second * s_second
            gate = _sigmoid(tl.sum(m * w_gate[None, :], 1) + b_gate)

            of_logit = tl.sum(m * above[None, :], 1) * smooth * gate * (1 - gate)
            of_gate += tl.sum(m * of_logit[:, None], 0)
            of_gate_b += tl.sum(of_logit, 0)
            change = above[None, :] * (gate * smooth)[:, None] + of_logit[:, None] * w_gate[None, :]
            change *= s_second * (1 + second * (1 - s_second))
            of_bias += tl.sum(change, 0)
            of_message += _product(tl.trans(active), change, TYPE, DOT)
            change = _product(change, tl.trans(w_message), TYPE, DOT)
            change *= s_first * (1 + first * (1 - s_first))
            of_receiver += tl.sum(change, 0)
            of_radial += _product(tl.trans(basis), change, TYPE, DOT)
            if CHANNELS > 1:
                of_lanes += _product(tl.trans(invariants), change, TYPE, DOT)
            px, py, pz = _through_first_layer(
                change, grad_sender, grad_x, w_lanes, j, there, wx, wy, wz, cutoff, 0,
                HIDDEN, LANES, CHANNELS, NEED_X, TYPE, DOT,
            )  # fmt: skip
            gx, gy, gz = gx + px, gy + py, gz + pz
        tl.store(grad_receiver + i * (2 * HIDDEN) + h, of_receiver)
        if NEED_X and CHANNELS > 1:
            at = grad_x + i * (3 * CHANNELS) + lane
            tl.atomic_add(at, gx, mask=lane < CHANNELS, sem="relaxed")
            tl.atomic_add(at + CHANNELS, gy, mask=lane < CHANNELS, sem="relaxed")
            tl.atomic_add(at + 2 * CHANNELS, gz, mask=lane < CHANNELS, sem="relaxed")
    program = tl.program_id(0).to(tl.int64)
    WIDTH: tl.constexpr = RADIAL + (CHANNELS if CHANNELS > 1 else 0)
    weights = edge_part + program * (WIDTH * 2 * HIDDEN)
    tl.store(weights + radial[:, None] * (2 * HIDDEN) + h[None, :], of_radial)
    if CHANNELS > 1:
        tl.store(
            weights + (RADIAL + lane[:, None]) * (2 * HIDDEN) + h[None, :],
            of_lanes,
            mask=(lane < CHANNELS)[:, None],
        )
    tl.store(message_part + program * (HIDDEN * HIDDEN) + h[:, None] * HIDDEN + h[None, :], of_message)
    tl.store(vector_part + program * (3 * HIDDEN) + h, of_bias)
    tl.store(vector_part + program * (3 * HIDDEN) + HIDDEN + h, of_gate)
    tl.store(vector_part + program * (3 * HIDDEN) + 2 * HIDDEN + h, tl.where(h == 0, of_gate_b, 0.0))


@triton.jit
def shift_backward(
    senders, geometry, counts, plane, capacity, nodes,
    receiver, sender, x, edge_w, shift_w, shift_b, cutoff, spacing,
    grad_out,  # [n, outgoing, 3]
    grad_receiver, grad_sender,  # [n, 2 hidden]: the second half; the first is zero on entry
    grad_x,  # [n, 3, channels], added to
    edge_part,  # [programs, radial + channels, 2 hidden]: the second half
    shift_part,  # [programs, hidden, outgoing * channels]
    bias_part,  # [programs, outgoing * channels]
    HIDDEN: tl.constexpr, RADIAL: tl.constexpr, CHANNELS: tl.constexpr, OUTGOING: tl.constexpr,
    NEED_X: tl.constexpr, EDGES: tl.constexpr, TYPE: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """Gradients through the coordinates of ``layer_forward``; those of the weights as one part per program."""
    LANES: tl.constexpr = 16
    COLUMNS: tl.constexpr = OUTGOING * CHANNELS
    h, lane, column = tl.arange(0, HIDDEN), tl.arange(0, LANES), tl.arange(0, COLUMNS)
    radial, out, channel = tl.arange(0, RADIAL), tl.arange(0, OUTGOING), tl.arange(0, CHANNELS)
    of_radial = tl.zeros([RADIAL, HIDDEN], tl.float32)
    of_lanes = tl.zeros([LANES, HIDDEN], tl.float32)
    of_shift = tl.zeros([HIDDEN, COLUMNS], tl.float32)
    of_bias = tl.zeros([COLUMNS], tl.float32)
    w_basis, w_lanes = _edge_weights(edge_w, HIDDEN, HIDDEN, RADIAL, LANES, CHANNELS)
    w_shift = tl.load(shift_w + h[:, None] * COLUMNS + column[None, :])
    b_shift = tl.load(shift_b + column)
    for i in range(tl.program_id(0), nodes, tl.num_programs(0)):
        count = tl.minimum(tl.load(counts + i), capacity)
        row = tl.cast(i, tl.int64) * capacity
        part = tl.load(receiver + i * (2 * HIDDEN) + HIDDEN + h)
        above = grad_out + (i * OUTGOING + out) * 3
        ux, uy, uz = tl.load(above), tl.load(above + 1), tl.load(above + 2)
        of_receiver = tl.zeros([HIDDEN], tl.float32)
        gx, gy, gz = (
            tl.zeros([LANES], tl.float32),
            tl.zeros([LANES], tl.float32),
            tl.zeros([LANES], tl.float32),
        )
        qx, qy = tl.zeros([CHANNELS], tl.float32), tl.zeros([CHANNELS], tl.float32)
        qz = tl.zeros([CHANNELS], tl.float32)
        for start in range(0, count, EDGES):
            there, j, sx, sy, sz, distance, smooth = _edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = _basis(distance, spacing, RADIAL)
            invariants, wx, wy, wz = basis, basis, basis, basis
            if CHANNELS > 1:
                wx, wy, wz = _differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = _invariants(wx, wy, wz, cutoff)
            first = _first_layer(
                part,
                sender,
                w_basis,
                w_lanes,
                j,
                there,
                basis,
                invariants,
                HIDDEN,
                HIDDEN,
                CHANNELS,
                TYPE,
                DOT,
            )
            s_first = _sigmoid(first)
            active = first * s_first
            phi = _product(active, w_shift, TYPE, DOT) + b_shift[None, :]
            phi = tl.reshape(phi, [EDGES, OUTGOING, CHANNELS])
            dx, dy, dz = _differences(x, i, j, sx, sy, sz, CHANNELS, CHANNELS)
            r = tl.sqrt(dx * dx + dy * dy + dz * dz + 1e-12)
            scale = smooth[:, None] / (r + 1)

            # of Phi: u . d; of the directions: Phi^T u
            vx, vy, vz = dx * scale, dy * scale, dz * scale
            of_phi = ux[None, :, None] * vx[:, None, :] + uy[None, :, None] * vy[:, None, :]
            of_phi += uz[None, :, None] * vz[:, None, :]
            of_vx = tl.sum(phi * ux[None, :, None], 1)
            of_vy = tl.sum(phi * uy[None, :, None], 1)
            of_vz = tl.sum(phi * uz[None, :, None], 1)
            along = (of_vx * dx + of_vy * dy + of_vz * dz) * scale / ((r + 1) * r)
            cx, cy, cz = of_vx * scale - dx * along, of_vy * scale - dy * along, of_vz * scale - dz * along
            qx, qy, qz = qx + tl.sum(cx, 0), qy + tl.sum(cy, 0), qz + tl.sum(cz, 0)
            if NEED_X:
                of_j = grad_x + j[:, None] * (3 * CHANNELS) + channel[None, :]
                mask = there[:, None] & (channel >= 0)[None, :]
                tl.atomic_add(of_j, -cx, mask=mask, sem="relaxed")
                tl.atomic_add(of_j + CHANNELS, -cy, mask=mask, sem="relaxed")
                tl.atomic_add(of_j + 2 * CHANNELS, -cz, mask=mask, sem="relaxed")

            of_phi = tl.reshape(of_phi, [EDGES, COLUMNS])
            of_bias += tl.sum(of_phi, 0)
            of_shift += _product(tl.trans(active), of_phi, TYPE, DOT)
            change = _product(of_phi, tl.trans(w_shift), TYPE, DOT)
            change *= s_first * (1 + first * (1 - s_first))
            of_receiver += tl.sum(change, 0)
            of_radial += _product(tl.trans(basis), change, TYPE, DOT)
            if CHANNELS > 1:
                of_lanes += _product(tl.trans(invariants), change, TYPE, DOT)
            px, py, pz = _through_first_layer(
                change, grad_sender, grad_x, w_lanes, j, there, wx, wy, wz, cutoff, HIDDEN,
                HIDDEN, LANES, CHANNELS, NEED_X, TYPE, DOT,
            )  # fmt: skip
            gx, gy, gz = gx + px, gy + py, gz + pz
        tl.store(grad_receiver + i * (2 * HIDDEN) + HIDDEN + h, of_receiver)
        if NEED_X:
            at = grad_x + i * (3 * CHANNELS)
            tl.atomic_add(at + lane, gx, mask=lane < CHANNELS, sem="relaxed")
            tl.atomic_add(at + CHANNELS + lane, gy, mask=lane < CHANNELS, sem="relaxed")
            tl.atomic_add(at + 2 * CHANNELS + lane, gz, mask=lane < CHANNELS, sem="relaxed")
            tl.atomic_add(at + channel, qx, sem="relaxed")
            tl.atomic_add(at + CHANNELS + channel, qy, sem="relaxed")
            tl.atomic_add(at + 2 * CHANNELS + channel, qz, sem="relaxed")
    program = tl.program_id(0).to(tl.int64)
    WIDTH: tl.constexpr = RADIAL + (CHANNELS if CHANNELS > 1 else 0)
    weights = edge_part + program * (WIDTH * 2 * HIDDEN) + HIDDEN
    tl.store(weights + radial[:, None] * (2 * HIDDEN) + h[None, :], of_radial)
    if CHANNELS > 1:
        tl.store(
            weights + (RADIAL + lane[:, None]) * (2 * HIDDEN) + h[None, :],
            of_lanes,
            mask=(lane < CHANNELS)[:, None],
        )
    tl.store(shift_part + program * (HIDDEN * COLUMNS) + h[:, None] * COLUMNS + column[None, :], of_shift)
    tl.store(bias_part + program * COLUMNS + column, of_bias)
