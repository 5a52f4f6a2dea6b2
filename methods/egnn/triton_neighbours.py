"""Neighbour tables on the GPU, in Triton: one program per atom."""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_forward import tanh


@triton.jit
def _round(v):
    return tl.floor(v + 0.5)


@triton.jit
def neighbour_table(
    positions,  # [n, 3]
    fractions,  # [n, 3] of the same positions
    cells,  # [s, 3, 3]
    offsets,  # [s + 1] first atom of each structure
    batch,  # [n] structure of each atom
    images,  # [s, 3] images beyond the nearest that may be within the cutoff, in each direction
    cutoff,
    capacity,  # places for neighbours in a row
    counts,  # [n] out: number of neighbours, also of those without a place
    senders,  # [n, capacity] out
    geometry,  # [5, n, capacity] out: shift (3), distance, smooth cutoff
    plane,  # n * capacity
    BLOCK: tl.constexpr,
):
    """Write all atoms and images within the cutoff of one atom into its row."""
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
    row, wide = i.to(tl.int64) * capacity, tl.cast(plane, tl.int64)
    count = 0
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
                    place = count + tl.cumsum(near.to(tl.int32), 0) - 1
                    room = near & (place < capacity)
                    distance = tl.sqrt(squared + 1e-12)
                    decay = tanh(tl.maximum(1 - distance / cutoff, 0.0))
                    at = row + place
                    tl.store(senders + at, j, mask=room)
                    tl.store(geometry + at, sx, mask=room)
                    tl.store(geometry + wide + at, sy, mask=room)
                    tl.store(geometry + 2 * wide + at, sz, mask=room)
                    tl.store(geometry + 3 * wide + at, distance, mask=room)
                    tl.store(geometry + 4 * wide + at, 2 * decay * decay, mask=room)
                    count += tl.sum(near.to(tl.int32), 0)
    tl.store(counts + i, count)
