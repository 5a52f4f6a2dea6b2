/* The tables of a block of edges, and the forward pass of a layer, for one LEVEL (see edge_kernel_body.h).
 *
 * A block holds edges of one receiver, at most BLOCK. The displacement of an atom, the sum over edges of Phi (c d), is
 * computed as W M: M [lanes, h] are the moments of the weighted directions c d / (|d| + 1), the sum over edges of their
 * products with the activations that Phi is linear in, and W is applied once per atom. */

typedef struct {
    int h, in, radial;
    int lanes;       /* components of the directions of an edge: 8 x, 8 y, 8 z; or x, y, z, 0 with one channel */
    int count, rows; /* edges of the block; rows of its tables, an even number */
    int64_t node, edge;
    float *space;
    float *radial_w, *invariant_w; /* [radial, 2 h], [8, 2 h]; from BF16 on pairs of rows, of which those of radial_w
                                      overlap, so that they can begin at any row */
    act_t *message_w;              /* packed */
    float *centres;
    float *COEFFICIENTS; /* [edge][16]: the basis functions that are not zero, two unused, 8 invariants */
    act_t *FACTORS;      /* the same as factors of the first layer */
    int *START;          /* number of the first of these basis functions */
    float *D, *Q, *W, *T, *INV, *SMOOTH; /* [..][edge][channel] */
    float *DIR;          /* [edge][lanes] */
    act_t *ACT;          /* [edge][h]: of the message */
    float *ACTX;         /* [edge][h]: of Phi */
    float *Z;            /* [edge][h] */
    float *gate, *dot;
    float *M, *S;        /* moments [lanes, h], and sums of the directions [lanes] */
    /* backward */
    act_t *message_t;            /* packed */
    float *invariant_t;          /* [2 h, 8] */
    float *shift_t;              /* [out][h][8] */
    float *GX, *G, *GT, *GB;     /* see receiver_gradients */
    float *SLOPE, *SLOPE_Z, *DPRE, *DINV, *DROW, *DD;
    act_t *DZ, *pairs;
    float *sum_radial, *sum_invariant, *sum_message; /* weight gradients, [in][out] */
} FN(space);
#define Space FN(space)
#define SUPPORT 6 /* basis functions that are not zero at a distance: their supports are three spacings wide */
#define GT_ROW 32

static void *FN(take)(char **at, int64_t bytes) {
    void *p = *at;
    /* an odd number of cache lines per table, so that equal rows of the tables are in different cache sets */
    *at += (bytes + 63) / 64 * 64 + 64;
    return p;
}

static int FN(prepare)(Space *s, const Args *a, int backward) {
    const int h = (int)a->hidden, in = (int)a->lanes_in, invariants = in > 1 ? 8 : 0, radial = (int)a->radial;
    memset(s, 0, sizeof *s);
    s->h = h;
    s->in = in;
    s->radial = radial;
    s->lanes = in == 1 ? 4 : 3 * in;
    const int lanes = s->lanes, used = radial + invariants;
    for (int pass = 0; pass < 2; pass++) {
        char *at = 0;
        if (pass) at = (char *)(((uintptr_t)s->space + 63) / 64 * 64);
#define TAKE(name, type, count) s->name = FN(take)(&at, (int64_t)sizeof(type) * (count))
        TAKE(radial_w, float, radial * 2 * h);
        TAKE(invariant_w, float, 8 * 2 * h);
        TAKE(message_w, act_t, h * h);
        TAKE(centres, float, radial + 16);
        TAKE(COEFFICIENTS, float, BLOCK * 16);
        TAKE(FACTORS, act_t, LEVEL >= BF16 ? BLOCK * 16 : 0);
        TAKE(START, int, BLOCK);
        TAKE(D, float, 3 * BLOCK * in);
        TAKE(Q, float, BLOCK * in);
        TAKE(W, float, BLOCK * in);
        TAKE(T, float, BLOCK * in);
        TAKE(INV, float, BLOCK * in);
        TAKE(SMOOTH, float, BLOCK * in);
        TAKE(DIR, float, BLOCK * lanes);
        TAKE(ACT, act_t, BLOCK * h);
        TAKE(ACTX, float, BLOCK * h);
        TAKE(Z, float, BLOCK * h);
        TAKE(gate, float, BLOCK);
        TAKE(dot, float, BLOCK);
        TAKE(M, float, lanes * h);
        TAKE(S, float, lanes);
        if (backward) {
            TAKE(message_t, act_t, h * h);
            TAKE(invariant_t, float, 2 * h * 8);
            TAKE(shift_t, float, a->lanes_out * h * 8);
            TAKE(GX, float, a->lanes_out * 3);
            TAKE(G, float, lanes * h);
            TAKE(GT, float, h * GT_ROW);
            TAKE(GB, float, GT_ROW);
            TAKE(SLOPE, float, BLOCK * 2 * h);
            TAKE(SLOPE_Z, float, BLOCK * h);
            TAKE(DPRE, float, BLOCK * 2 * h);
            TAKE(DINV, float, BLOCK * 8);
            TAKE(DROW, float, BLOCK * GT_ROW);
            TAKE(DD, float, 3 * BLOCK * in);
            TAKE(DZ, act_t, BLOCK * h);
            TAKE(pairs, act_t, LEVEL >= BF16 ? 2 * BLOCK * h : 0);
            TAKE(sum_radial, float, radial * 2 * h);
            TAKE(sum_invariant, float, 8 * 2 * h);
            TAKE(sum_message, float, h * h);
        }
#undef TAKE
        if (!pass) {
            s->space = calloc(1, (size_t)(uintptr_t)at + 64);
            if (!s->space) return 2;
        }
    }
    for (int k = 0; k < radial + 16; k++) s->centres[k] = (float)(k * a->cutoff / (radial - 1));
#if LEVEL >= BF16
    for (int k = 0; k + 1 < used; k++) {
        if (k == radial - 1 || (k > radial && (k - radial) % 2)) continue;
        act_t *row = (act_t *)(k < radial ? s->radial_w + k * 2 * h : s->invariant_w + (k - radial) / 2 * 2 * h);
        for (int n = 0; n < 4 * h; n++) row[n] = FN(round_bf16)(a->edge_w[n / 2 * used + k + n % 2]);
    }
#else
    for (int k = 0; k < used; k++) {
        float *row = k < radial ? s->radial_w + k * 2 * h : s->invariant_w + (k - radial) * 2 * h;
        for (int n = 0; n < 2 * h; n++) row[n] = a->edge_w[n * used + k];
    }
#endif
    FN(pack_act)(a->message_w, 1, h, h, h, s->message_w);
    if (backward) {
        FN(pack_act)(a->message_w, h, 1, h, h, s->message_t);
        for (int n = 0; n < 2 * h; n++)
            for (int k = 0; k < invariants; k++) s->invariant_t[8 * n + k] = a->edge_w[n * used + radial + k];
        for (int l = 0; in > 1 && l < a->lanes_out; l++)
            for (int f = 0; f < h; f++)
                for (int c = 0; c < 8; c++) s->shift_t[(l * h + f) * 8 + c] = a->shift_w[(l * 8 + c) * h + f];
    }
    return 0;
}

/* The number of edges from `edge` on that have its receiver, or 0 if it is out of range or not in order. */
static int64_t FN(next_receiver)(Space *s, const Args *a, int64_t edge) {
    const int64_t i = a->receivers[edge];
    if (i < 0 || i >= a->nodes || (edge > a->edge_start && i < a->receivers[edge - 1])) return 0;
    int64_t stop = edge + 1;
    while (stop < a->edge_stop && a->receivers[stop] == i) stop++;
    s->node = i;
    memset(s->M, 0, sizeof(float) * s->lanes * s->h);
    memset(s->S, 0, sizeof(float) * s->lanes);
    return stop - edge;
}

/* Takes the next of the `left` edges of a receiver; the blocks of a receiver have about the same number of them. */
static int FN(next_block)(Space *s, const Args *a, int64_t edge, int64_t left) {
    const int64_t blocks = (left + BLOCK - 1) / BLOCK;
    s->edge = edge;
    s->count = (int)((left + blocks - 1) / blocks);
    s->rows = s->count + s->count % 2;
    for (int e = 0; e < s->count; e++)
        if (a->senders[edge + e] < 0 || a->senders[edge + e] >= a->nodes) return 1;
    return 0;
}

/* Edge vectors, directions times cutoff, invariants and basis functions of a block. */
INLINE void FN(geometry)(Space *s, const Args *a, const int in) {
    const int plane = BLOCK * in, lanes = in == 1 ? 4 : 24;
    const float scale = (float)(2 / (a->cutoff * a->cutoff));
    const float *xi = a->x + s->node * 3 * in;
    for (int e = 0; e < s->count; e++) {
        const float *xj = a->x + a->senders[s->edge + e] * 3 * in, *shift = a->shifts + 3 * (s->edge + e);
        const float c = a->smooth[s->edge + e];
        for (int k = 0; k < 3; k++)
            if (in == 1)
                s->D[k * plane + e] = xi[k] - xj[k] - shift[k];
            else
                ST8(s->D + k * plane + 8 * e, LD8(xi + 8 * k) - LD8(xj + 8 * k) - shift[k]);
        if (in == 1)
            s->SMOOTH[e] = c;
        else
            ST8(s->SMOOTH + 8 * e, (v8){c, c, c, c, c, c, c, c});
    }
    for (int v = 0; v < s->count * in; v += VW) {
        vec d[3], squared = ZERO;
        for (int k = 0; k < 3; k++) {
            d[k] = LD(s->D + k * plane + v);
            squared += d[k] * d[k];
        }
        vec q = FN(root)(squared + 1e-12f);
        vec w = LD(s->SMOOTH + v) / (q + 1.0f);
        ST(s->Q + v, q);
        ST(s->W + v, w);
        if (in > 1) { /* tanh(d^2 / r_cut^2) */
            vec t = 2.0f * FN(sigmoid)(squared * scale) - 1.0f;
            ST(s->T + v, t);
            ST(s->INV + v, 2.0f * t - 1.0f);
        }
    }
    for (int e = 0; e < s->count; e++)
        if (in == 1)
            for (int k = 0; k < 3; k++) s->DIR[e * lanes + k] = s->D[k * plane + e] * s->W[e];
        else {
            v8 w = LD8(s->W + 8 * e);
            for (int k = 0; k < 3; k++) ST8(s->DIR + e * lanes + 8 * k, LD8(s->D + k * plane + 8 * e) * w);
            ST8(s->COEFFICIENTS + 16 * e + 8, LD8(s->INV + 8 * e));
        }
    /* radial basis (1 - u^2)^3 with evenly spaced centres; the support is three spacings */
    const float per_spacing = (float)((s->radial - 1) / a->cutoff), per_support = per_spacing / 3;
    for (int e = 0; e < s->count; e++) {
        const float r = a->distance[s->edge + e], place = r * per_spacing;
        int first = place < (float)s->radial ? (int)place - 2 : s->radial; /* of NaN: the last ones */
        first = first < 0 ? 0 : first > s->radial - SUPPORT ? s->radial - SUPPORT : first;
        s->START[e] = first;
        v8 u = (r - LD8(s->centres + first)) * per_support;
        u = 1.0f - u * u;
        u = (v8)(~(u < 0.0f) & (i8)u); /* NaN for NaN */
        ST8(s->COEFFICIENTS + 16 * e, u * u * u);
#if LEVEL >= BF16
        const __m512 both = _mm512_loadu_ps(s->COEFFICIENTS + 16 * e);
        _mm256_storeu_si256((__m256i *)(s->FACTORS + 16 * e), (__m256i)_mm512_cvtneps_pbh(both));
#endif
    }
}

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
