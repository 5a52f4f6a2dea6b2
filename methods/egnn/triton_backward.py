"""Gradients of ``triton_forward.layer_forward``, whose edge functions are computed again, in Triton.

Each program computes many atoms and sums its own gradients of the weights; edge_sums_triton.py adds up the programs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_forward import (
    channel_invariants,
    differences,
    first_layer,
    load_edge_weights,
    load_edges,
    product,
    radial_basis,
    sigmoid,
    tanh,
    three_zeros,
)


@triton.jit
def _through_first_layer(
    change, grad_sender, grad_x, w_lanes, j, real, dx, dy, dz, cutoff, half, HIDDEN: tl.constexpr,
    LANES: tl.constexpr, CHANNELS: tl.constexpr, NEED_X: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Add the gradient of the first edge layer, ``change`` [e, hidden], to those of senders and their positions.

    Returns the three components [lanes] of the gradient of the receiver's position.
    """
    h, lane = tl.arange(0, HIDDEN), tl.arange(0, LANES)
    tl.atomic_add(
        grad_sender + j[:, None] * (2 * HIDDEN) + half + h[None, :],
        change,
        mask=real[:, None],
        sem="relaxed",
    )
    gx, gy, gz = three_zeros(LANES)
    if NEED_X and CHANNELS > 1:
        of_invariants = product(change, tl.trans(w_lanes), TYPE, DOT)
        t = tanh((dx * dx + dy * dy + dz * dz) / (cutoff * cutoff))
        factor = of_invariants * (1 - t * t) * (4 / (cutoff * cutoff))
        dx, dy, dz = dx * factor, dy * factor, dz * factor
        gx, gy, gz = tl.sum(dx, 0), tl.sum(dy, 0), tl.sum(dz, 0)
        mask = real[:, None] & (lane < CHANNELS)[None, :]
        at = grad_x + j[:, None] * (3 * CHANNELS) + lane[None, :]
        tl.atomic_add(at, -dx, mask=mask, sem="relaxed")
        tl.atomic_add(at + CHANNELS, -dy, mask=mask, sem="relaxed")
        tl.atomic_add(at + 2 * CHANNELS, -dz, mask=mask, sem="relaxed")
    return gx, gy, gz


@triton.jit(do_not_specialize=["nodes"])
def message_backward(
    senders, geometry, counts, plane, capacity, nodes,
    receiver, sender, x, edge_w, message_w, message_b, gate_w, gate_b, cutoff, spacing,
    grad_h,  # [n, hidden]
    grad_receiver,  # [n, 2 hidden]: the first half; shift_backward writes the second, also of edge_part
    grad_sender,  # [n, 2 hidden]: the first half, added to
    grad_x,  # [n, 3, channels], added to
    edge_part,  # [programs, radial + channels, 2 hidden]: the first half
    message_part,  # [programs, hidden, hidden]
    vector_part,  # [programs, 3, hidden]: message_b, gate_w, gate_b (in the first column)
    HIDDEN: tl.constexpr, RADIAL: tl.constexpr, CHANNELS: tl.constexpr, NEED_X: tl.constexpr,
    EDGES: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Gradients of the sum of messages of ``layer_forward``, separately for each program for the weights."""
    LANES: tl.constexpr = 16
    h, lane = tl.arange(0, HIDDEN), tl.arange(0, LANES)
    radial = tl.arange(0, RADIAL)
    of_radial = tl.zeros([RADIAL, HIDDEN], tl.float32)
    of_lanes = tl.zeros([LANES, HIDDEN], tl.float32)
    of_message = tl.zeros([HIDDEN, HIDDEN], tl.float32)
    of_bias, of_gate = tl.zeros([HIDDEN], tl.float32), tl.zeros([HIDDEN], tl.float32)
    of_gate_b = 0.0
    w_basis, w_lanes = load_edge_weights(edge_w, 0, HIDDEN, RADIAL, LANES, CHANNELS)
    w_message = tl.load(message_w + h[:, None] * HIDDEN + h[None, :])
    b_message, w_gate, b_gate = tl.load(message_b + h), tl.load(gate_w + h), tl.load(gate_b)
    for i in range(tl.program_id(0), nodes, tl.num_programs(0)):
        count = tl.minimum(tl.load(counts + i), capacity)
        row = tl.cast(i, tl.int64) * capacity
        above = tl.load(grad_h + i * HIDDEN + h)
        part = tl.load(receiver + i * (2 * HIDDEN) + h)
        of_receiver = tl.zeros([HIDDEN], tl.float32)
        gx, gy, gz = three_zeros(LANES)
        for start in range(0, count, EDGES):
            real, j, sx, sy, sz, distance, smooth = load_edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = radial_basis(distance, spacing, RADIAL)
            invariants, wx, wy, wz = basis, basis, basis, basis
            if CHANNELS > 1:
                wx, wy, wz = differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = channel_invariants(wx, wy, wz, cutoff)
            first = first_layer(
                part, sender, w_basis, w_lanes, j, real, basis, invariants, 0, HIDDEN, CHANNELS, TYPE, DOT
            )
            s_first = sigmoid(first)
            active = first * s_first
            second = product(active, w_message, TYPE, DOT) + b_message[None, :]
            s_second = sigmoid(second)
            m = second * s_second
            gate = sigmoid(tl.sum(m * w_gate[None, :], 1) + b_gate)

            of_logit = tl.sum(m * above[None, :], 1) * smooth * gate * (1 - gate)
            of_gate += tl.sum(m * of_logit[:, None], 0)
            of_gate_b += tl.sum(of_logit, 0)
            change = above[None, :] * (gate * smooth)[:, None] + of_logit[:, None] * w_gate[None, :]
            change *= s_second * (1 + second * (1 - s_second))
            of_bias += tl.sum(change, 0)
            of_message += product(tl.trans(active), change, TYPE, DOT)
            change = product(change, tl.trans(w_message), TYPE, DOT)
            change *= s_first * (1 + first * (1 - s_first))
            of_receiver += tl.sum(change, 0)
            of_radial += product(tl.trans(basis), change, TYPE, DOT)
            if CHANNELS > 1:
                of_lanes += product(tl.trans(invariants), change, TYPE, DOT)
            px, py, pz = _through_first_layer(
                change, grad_sender, grad_x, w_lanes, j, real, wx, wy, wz, cutoff, 0,
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


@triton.jit(do_not_specialize=["nodes"])
def shift_backward(
    senders, geometry, counts, plane, capacity, nodes,
    receiver, sender, x, edge_w, shift_w, shift_b, cutoff, spacing,
    grad_out,  # [n, outgoing, 3]
    grad_receiver,  # [n, 2 hidden]: the second half
    grad_sender,  # [n, 2 hidden]: the second half, added to
    grad_x,  # [n, 3, channels], added to
    edge_part,  # [programs, radial + channels, 2 hidden]: the second half
    shift_part,  # [programs, hidden, outgoing * channels]
    bias_part,  # [programs, outgoing * channels]
    HIDDEN: tl.constexpr, RADIAL: tl.constexpr, CHANNELS: tl.constexpr, OUTGOING: tl.constexpr,
    NEED_X: tl.constexpr, EDGES: tl.constexpr, TYPE: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Gradients of the sum of displacements of ``layer_forward``, separately for each program for the weights."""
    LANES: tl.constexpr = 16
    COLUMNS: tl.constexpr = OUTGOING * CHANNELS
    h, lane, column = tl.arange(0, HIDDEN), tl.arange(0, LANES), tl.arange(0, COLUMNS)
    radial, out, channel = tl.arange(0, RADIAL), tl.arange(0, OUTGOING), tl.arange(0, CHANNELS)
    of_radial = tl.zeros([RADIAL, HIDDEN], tl.float32)
    of_lanes = tl.zeros([LANES, HIDDEN], tl.float32)
    of_shift = tl.zeros([HIDDEN, COLUMNS], tl.float32)
    of_bias = tl.zeros([COLUMNS], tl.float32)
    w_basis, w_lanes = load_edge_weights(edge_w, HIDDEN, HIDDEN, RADIAL, LANES, CHANNELS)
    w_shift = tl.load(shift_w + h[:, None] * COLUMNS + column[None, :])
    b_shift = tl.load(shift_b + column)
    for i in range(tl.program_id(0), nodes, tl.num_programs(0)):
        count = tl.minimum(tl.load(counts + i), capacity)
        row = tl.cast(i, tl.int64) * capacity
        part = tl.load(receiver + i * (2 * HIDDEN) + HIDDEN + h)
        above = grad_out + (i * OUTGOING + out) * 3
        ux, uy, uz = tl.load(above), tl.load(above + 1), tl.load(above + 2)
        of_receiver = tl.zeros([HIDDEN], tl.float32)
        gx, gy, gz = three_zeros(LANES)
        qx, qy, qz = three_zeros(CHANNELS)
        for start in range(0, count, EDGES):
            real, j, sx, sy, sz, distance, smooth = load_edges(
                senders, geometry, plane, row, start, count, EDGES
            )
            basis = radial_basis(distance, spacing, RADIAL)
            invariants, wx, wy, wz = basis, basis, basis, basis
            if CHANNELS > 1:
                wx, wy, wz = differences(x, i, j, sx, sy, sz, LANES, CHANNELS)
                invariants = channel_invariants(wx, wy, wz, cutoff)
            first = first_layer(
                part, sender, w_basis, w_lanes, j, real, basis, invariants, HIDDEN,
                HIDDEN, CHANNELS, TYPE, DOT,
            )  # fmt: skip
            s_first = sigmoid(first)
            active = first * s_first
            phi = product(active, w_shift, TYPE, DOT) + b_shift[None, :]
            phi = tl.reshape(phi, [EDGES, OUTGOING, CHANNELS])
            dx, dy, dz = differences(x, i, j, sx, sy, sz, CHANNELS, CHANNELS)
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
                mask = real[:, None] & (channel >= 0)[None, :]
                tl.atomic_add(of_j, -cx, mask=mask, sem="relaxed")
                tl.atomic_add(of_j + CHANNELS, -cy, mask=mask, sem="relaxed")
                tl.atomic_add(of_j + 2 * CHANNELS, -cz, mask=mask, sem="relaxed")

            of_phi = tl.reshape(of_phi, [EDGES, COLUMNS])
            of_bias += tl.sum(of_phi, 0)
            of_shift += product(tl.trans(active), of_phi, TYPE, DOT)
            change = product(of_phi, tl.trans(w_shift), TYPE, DOT)
            change *= s_first * (1 + first * (1 - s_first))
            of_receiver += tl.sum(change, 0)
            of_radial += product(tl.trans(basis), change, TYPE, DOT)
            if CHANNELS > 1:
                of_lanes += product(tl.trans(invariants), change, TYPE, DOT)
            px, py, pz = _through_first_layer(
                change, grad_sender, grad_x, w_lanes, j, real, wx, wy, wz, cutoff, HIDDEN,
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
