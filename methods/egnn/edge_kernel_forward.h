/* The forward pass of a layer, for one LEVEL (see edge_kernel_body.h).
 *
 * A block holds edges of one receiver, at most BLOCK. The displacement of an atom, the sum over edges of Phi (c d), is
 * computed as W M: M [lanes, h] are the moments of the weighted directions c d / (|d| + 1), the sum over edges of their
 * products with the activations that Phi is linear in, and W is applied once per atom. */

/* c += the products of `count` features of an edge with the rows of their weights, w_row apart; from BF16 on, features
 * and weights are in pairs. */
INLINE void FN(features)(vec c[8], const act_t *factor, const float *w, int64_t w_row, const int count, const int wide) {
#if LEVEL >= BF16
#pragma GCC unroll 4
    for (int k = 0; k < count / 2; k++) {
        int32_t pair;
        memcpy(&pair, factor + 2 * k, 4);
        const __m512bh s = (__m512bh)_mm512_set1_epi32(pair);
        const float *row = w + k * w_row;
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++)
            c[j] = (vec)_mm512_dpbf16_ps((__m512)c[j], s, (__m512bh)_mm512_loadu_ps(row + j * VW));
    }
#else
#pragma GCC unroll 8
    for (int k = 0; k < count; k++)
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++) c[j] += factor[k] * LD(w + k * w_row + j * VW);
#endif
}

/* Sums of the first layer of edge e in `wide` vectors of columns from f on, which stay in registers, and activations. */
INLINE void FN(first_columns)(Space *s, const Args *a, int e, int f, const int in, const int backward, const int wide) {
    const int h = s->h, h2 = 2 * h;
    const float *receiver = a->receiver + s->node * h2 + f, *sender = a->sender + a->senders[s->edge + e] * h2 + f;
    const act_t *factor = LEVEL >= BF16 ? s->FACTORS + 16 * e : (const act_t *)s->COEFFICIENTS + 16 * e;
    vec c[8];
#pragma GCC unroll 8
    for (int j = 0; j < wide; j++) c[j] = LD(receiver + j * VW) + LD(sender + j * VW);
    FN(features)(c, factor, s->radial_w + s->START[e] * h2 + f, LEVEL >= BF16 ? 2 * h2 : h2, SUPPORT, wide);
    if (in > 1) FN(features)(c, factor + 8, s->invariant_w + f, h2, 8, wide);
#pragma GCC unroll 4
    for (int j = 0; j < wide; j += 2) {
        const int column = f + j * VW;
        vec p = c[j], q = c[j + 1], sp = p, sq = q;
        FN(sigmoids)(&sp, &sq);
        p *= sp;
        q *= sq;
        if (backward) {
            ST(s->SLOPE + e * h2 + column, sp + p * (1.0f - sp));
            ST(s->SLOPE + e * h2 + column + VW, sq + q * (1.0f - sq));
        }
        if (column < h)
            FN(put)(s->ACT + e * h + column, p, q);
        else {
            ST(s->ACTX + e * h + column - h, p);
            ST(s->ACTX + e * h + column - h + VW, q);
        }
    }
}

/* Activations of both halves of the first layer, the sums of the message layer, and the moments. */
INLINE void FN(layers)(Space *s, const Args *a, const int in, const int backward) {
    const int h = s->h;
    for (int e = 0; e < s->count; e++) {
        int f = 0;
        for (; f + 8 * VW <= 2 * h; f += 8 * VW) FN(first_columns)(s, a, e, f, in, backward, 8);
        if (f < 2 * h) FN(first_columns)(s, a, e, f, in, backward, 4);
    }
    if (s->rows > s->count) memset(s->ACT + s->count * h, 0, sizeof(act_t) * h);
    FN(product_act)(s->ACT, s->rows, s->message_w, a->message_b, s->Z, h, h, h);
    FN(outer)(s->DIR, s->lanes, s->ACTX, h, s->M, s->lanes, h, s->count);
    for (int e = 0; e < s->count; e++)
        for (int l = 0; l < s->lanes; l += 4)
            *(v4u *)(s->S + l) = *(v4u *)(s->S + l) + *(v4u *)(s->DIR + e * s->lanes + l);
}

INLINE void FN(forward_block)(Space *s, const Args *a, const int in) {
    const int h = s->h;
    FN(geometry)(s, a, in);
    FN(layers)(s, a, in, 0);
    for (int e = 0; e < s->count; e++) {
        vec dot = ZERO;
        for (int f = 0; f < h; f += 2 * VW) {
            vec m = LD(s->Z + e * h + f), n = LD(s->Z + e * h + f + VW);
            vec sm = m, sn = n;
            FN(sigmoids)(&sm, &sn);
            m *= sm;
            n *= sn;
            ST(s->Z + e * h + f, m);
            ST(s->Z + e * h + f + VW, n);
            dot += m * LD(a->gate_w + f) + n * LD(a->gate_w + f + VW);
        }
        s->gate[e] = FN(hsum)(dot);
    }
    for (int v = 0; v < BLOCK; v += VW) ST(s->gate + v, FN(sigmoid)(LD(s->gate + v) + a->gate_b[0]));
    for (int e = 0; e < s->count; e++) s->gate[e] *= a->smooth[s->edge + e];
    float *out = a->out_h + s->node * h;
    for (int f = 0; f < h; f += 4 * VW) {
        const int more = f + 4 * VW <= h;
        vec c[4] = {ZERO, ZERO, ZERO, ZERO};
        for (int e = 0; e < s->count; e++) {
            const float *z = s->Z + e * h + f, g = s->gate[e];
            c[0] += g * LD(z);
            c[1] += g * LD(z + VW);
            if (!more) continue;
            c[2] += g * LD(z + 2 * VW);
            c[3] += g * LD(z + 3 * VW);
        }
        for (int j = 0; j < (more ? 4 : 2); j++) ST(out + f + j * VW, LD(out + f + j * VW) + c[j]);
    }
}

/* Displacements of the outgoing channels l .. l + channels - 1 of the receiver from its moments. */
INLINE void FN(displacements)(Space *s, const Args *a, int l, const int in, const int channels) {
    const int length = in * s->h;
    const float *w = a->shift_w + (int64_t)l * length;
    vec c[4][3];
    for (int i = 0; i < channels; i++)
        for (int k = 0; k < 3; k++) c[i][k] = ZERO;
    for (int f = 0; f < length; f += VW) {
        vec m[3];
        for (int k = 0; k < 3; k++) m[k] = LD(s->M + k * length + f);
#pragma GCC unroll 4
        for (int i = 0; i < channels; i++) {
            vec row = LD(w + (int64_t)i * length + f);
            for (int k = 0; k < 3; k++) c[i][k] += row * m[k];
        }
    }
    for (int i = 0; i < channels; i++)
        for (int k = 0; k < 3; k++) {
            float sum = FN(hsum)(c[i][k]);
            for (int n = 0; n < in; n++) sum += a->shift_b[(l + i) * in + n] * s->S[k * in + n];
            a->out_x[(s->node * a->lanes_out + l + i) * 3 + k] = sum;
        }
}

INLINE void FN(receiver_forward)(Space *s, const Args *a, const int in) {
    int l = 0;
    for (; l + 4 <= a->lanes_out; l += 4) FN(displacements)(s, a, l, in, 4);
    for (; l < a->lanes_out; l++) FN(displacements)(s, a, l, in, 1);
}

static int FN(edges_forward)(const Args *a) {
    Space s;
    int failed = FN(prepare)(&s, a, 0);
    if (failed) return failed;
    FN(tiles_begin)();
    for (int64_t edge = a->edge_start; edge < a->edge_stop && !failed;) {
        int64_t left = FN(next_receiver)(&s, a, edge);
        failed = !left;
        for (; left && !failed; left -= s.count, edge += s.count) {
            failed = FN(next_block)(&s, a, edge, left);
            if (failed) break;
            if (s.in == 1)
                FN(forward_block)(&s, a, 1);
            else
                FN(forward_block)(&s, a, 8);
        }
        if (failed) break;
        if (s.in == 1)
            FN(receiver_forward)(&s, a, 1);
        else
            FN(receiver_forward)(&s, a, 8);
    }
    FN(tiles_end)();
    free(s.space);
    return failed;
}
