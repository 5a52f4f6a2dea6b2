/* The tables of a block of edges, and the forward pass of a layer, for one LEVEL (see edge_kernel_body.h). */

typedef struct {
    int h, radial, in, columns, vectors;
    int used, width; /* columns of the edge features without and with padding */
    int count, segments;                        /* edges of the block; runs of edges with one receiver */
    int64_t edge, node[BLOCK];
    int first[BLOCK + 1];
    float *space;
    act_t *edge_w, *message_w, *shift_w;       /* packed for the forward pass */
    act_t *edge_t, *message_t, *shift_t;       /* packed for the backward pass */
    act_t *F, *ACT, *DZ, *DPHI, *DPRE;
    float *PRE, *Z, *SLOPE, *PHI, *DACT, *DINV;
    float *D, *Q, *W, *T, *INV, *DIR, *DUP, *DD, *SMOOTH, *FEATURE;
    float *gate, *dot, *g2, *centres;
    float *sum_edge, *sum_message, *sum_shift; /* weight gradients, [in][out] */
    act_t *a_edge, *a_act, *b_pre, *b_z, *b_phi;
    int slots;
} FN(space);
#define Space FN(space)

static void *FN(take)(char **at, int64_t bytes) {
    void *p = *at;
    /* an odd number of cache lines per table, so that equal rows of the tables are in different cache sets */
    *at += (bytes + 63) / 64 * 64 + 64;
    return p;
}

static int FN(prepare)(Space *s, const Args *a, int backward) {
    const int h = (int)a->hidden, in = (int)a->lanes_in, invariants = in > 1 ? 8 : 0;
    memset(s, 0, sizeof *s);
    s->h = h;
    s->in = in;
    s->radial = (int)a->radial;
    s->columns = (int)shift_columns(a);
    s->vectors = in == 1 ? 1 : (int)a->lanes_out / 2;
    s->width = LEVEL >= BF16 ? (s->radial + invariants + 31) / 32 * 32 : s->radial + invariants;
    s->used = s->radial + invariants;
    const int used = s->used, width = s->width, X = s->columns;
    for (int pass = 0; pass < 2; pass++) {
        char *at = 0;
        if (pass) {
            at = (char *)(((uintptr_t)s->space + 63) / 64 * 64);
        }
#define TAKE(name, type, count) s->name = FN(take)(&at, (int64_t)sizeof(type) * (count))
        TAKE(edge_w, act_t, width * 2 * h);
        TAKE(message_w, act_t, h * h);
        TAKE(shift_w, act_t, h * X);
        TAKE(F, act_t, BLOCK * width);
        TAKE(ACT, act_t, BLOCK * 2 * h);
        TAKE(PRE, float, BLOCK * 2 * h);
        TAKE(Z, float, BLOCK * h);
        TAKE(PHI, float, BLOCK * X);
        TAKE(D, float, 3 * BLOCK * in);
        TAKE(DIR, float, 3 * BLOCK * in);
        TAKE(DUP, float, 3 * BLOCK * 16);
        TAKE(Q, float, BLOCK * in);
        TAKE(W, float, BLOCK * in);
        TAKE(T, float, BLOCK * in);
        TAKE(INV, float, BLOCK * in);
        TAKE(SMOOTH, float, BLOCK * in);
        TAKE(gate, float, BLOCK);
        TAKE(dot, float, BLOCK);
        TAKE(g2, float, 3 * 64);
        TAKE(centres, float, s->radial);
        if (backward) {
            TAKE(edge_t, act_t, 2 * h * 16);
            TAKE(message_t, act_t, h * h);
            TAKE(shift_t, act_t, h * X);
            TAKE(DZ, act_t, BLOCK * h);
            TAKE(DPHI, act_t, BLOCK * X);
            TAKE(DPRE, act_t, BLOCK * 2 * h);
            TAKE(SLOPE, float, BLOCK * h);
            TAKE(DACT, float, BLOCK * 2 * h);
            TAKE(DINV, float, BLOCK * 16);
            TAKE(DD, float, 3 * BLOCK * in);
            TAKE(sum_edge, float, width * 2 * h);
            TAKE(sum_message, float, h * h);
            TAKE(sum_shift, float, h * X);
#if LEVEL >= BF16
            TAKE(a_edge, act_t, BLOCK * width * DEPTH);
            TAKE(a_act, act_t, BLOCK * 2 * h * DEPTH);
            TAKE(b_pre, act_t, BLOCK * 2 * h * DEPTH);
            TAKE(b_z, act_t, BLOCK * h * DEPTH);
            TAKE(b_phi, act_t, BLOCK * X * DEPTH);
#endif
        }
#undef TAKE
        if (!pass) {
            s->space = calloc(1, (size_t)(uintptr_t)at + 64);
            if (!s->space) return 2;
        }
    }
    for (int k = 0; k < s->radial; k++) s->centres[k] = (float)(k * a->cutoff / (s->radial - 1));
    FN(pack)(a->edge_w, 1, used, width, 2 * h, used, 2 * h, s->edge_w);
    FN(pack)(a->message_w, 1, h, h, h, h, h, s->message_w);
    FN(pack)(a->shift_w, 1, h, h, X, h, X, s->shift_w);
    if (backward) {
        FN(pack)(a->message_w, h, 1, h, h, h, h, s->message_t);
        FN(pack)(a->shift_w, h, 1, X, h, X, h, s->shift_t);
        if (invariants) FN(pack)(a->edge_w + s->radial, used, 1, 2 * h, 16, 2 * h, 8, s->edge_t);
    }
    return 0;
}

/* Loads the next edges, at most BLOCK, and finds the runs of equal receivers among them. */
static int FN(next_block)(Space *s, const Args *a, int64_t edge) {
    int64_t left = a->edge_stop - edge;
    s->edge = edge;
    s->count = left < BLOCK ? (int)left : BLOCK;
    s->segments = 0;
    int64_t last = edge > a->edge_start ? a->receivers[edge - 1] : 0;
    for (int e = 0; e < s->count; e++) {
        int64_t i = a->receivers[edge + e], j = a->senders[edge + e];
        if (i < last || i >= a->nodes || j < 0 || j >= a->nodes) return 1;
        if (!e || i != last) {
            s->node[s->segments] = i;
            s->first[s->segments++] = e;
        }
        last = i;
    }
    s->first[s->segments] = s->count;
    if (s->count < BLOCK) { /* rows without an edge must be zero in the sums over all rows */
        memset(s->F, 0, sizeof(act_t) * BLOCK * s->width);
        memset(s->D, 0, sizeof(float) * 3 * BLOCK * s->in);
        memset(s->SMOOTH, 0, sizeof(float) * BLOCK * s->in);
        memset(s->ACT, 0, sizeof(act_t) * BLOCK * 2 * s->h);
        if (s->DZ) {
            memset(s->DZ, 0, sizeof(act_t) * BLOCK * s->h);
            memset(s->DPHI, 0, sizeof(act_t) * BLOCK * s->columns);
            memset(s->DPRE, 0, sizeof(act_t) * BLOCK * 2 * s->h);
        }
    }
    return 0;
}

/* Edge vectors, directions times cutoff and invariants of a block; tables [3][edge][channel] and [edge][channel]. */
INLINE void FN(geometry)(Space *s, const Args *a, const int in) {
    const int plane = BLOCK * in;
    const float scale = (float)(2 / (a->cutoff * a->cutoff));
    for (int g = 0; g < s->segments; g++)
        for (int e = s->first[g]; e < s->first[g + 1]; e++) {
            const float *xi = a->x + s->node[g] * 3 * in, *xj = a->x + a->senders[s->edge + e] * 3 * in;
            const float *shift = a->shifts + 3 * (s->edge + e);
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
    for (int v = 0; v < plane; v += VW) {
        vec x = LD(s->D + v), y = LD(s->D + plane + v), z = LD(s->D + 2 * plane + v);
        vec squared = x * x + y * y + z * z;
        vec q = FN(root)(squared + 1e-12f);
        vec w = LD(s->SMOOTH + v) / (q + 1.0f);
        ST(s->Q + v, q);
        ST(s->W + v, w);
        ST(s->DIR + v, x * w);
        ST(s->DIR + plane + v, y * w);
        ST(s->DIR + 2 * plane + v, z * w);
        if (in > 1) { /* tanh(d^2 / r_cut^2) */
            vec t = 2.0f * FN(sigmoid)(squared * scale) - 1.0f;
            ST(s->T + v, t);
            ST(s->INV + v, 2.0f * t - 1.0f);
        }
    }
    for (int e = 0; in > 1 && e < s->count; e++) {
        act_t *row = s->F + e * s->width + s->radial;
#if LEVEL >= BF16
        _mm_storeu_si128((__m128i *)row, (__m128i)_mm256_cvtneps_pbh((__m256)LD8(s->INV + 8 * e)));
#else
        ST8(row, LD8(s->INV + 8 * e));
#endif
        for (int k = 0; k < 3; k++) { /* stored twice, because 16 columns of phi belong to two outgoing channels */
            v8 d = LD8(s->DIR + k * plane + 8 * e);
            ST8(s->DUP + (k * BLOCK + e) * 16, d);
            ST8(s->DUP + (k * BLOCK + e) * 16 + 8, d);
        }
    }
    /* radial basis (1 - u^2)^3 with evenly spaced centres; the support is three spacings */
    const float per_support = (float)((s->radial - 1) / (3 * a->cutoff));
    for (int f = 0; f < s->radial; f += 2 * VW) {
        const vec first = LD(s->centres + f), second = LD(s->centres + f + VW);
        for (int e = 0; e < s->count; e++) {
            const float r = a->distance[s->edge + e];
            vec u = (r - first) * per_support, v = (r - second) * per_support;
            u = FN(positive)(1.0f - u * u);
            v = FN(positive)(1.0f - v * v);
            FN(put)(s->F + e * s->width + f, u * u * u, v * v * v);
        }
    }
}

/* Stores silu of both halves of the first layer in ACT; in the backward pass its derivative replaces PRE. */
INLINE void FN(first_layer)(Space *s, const Args *a, const int backward) {
    const int h2 = 2 * s->h;
    FN(product)(s->F, s->width, s->edge_w, 0, s->PRE, h2, h2, LEVEL == BF16 ? s->used : s->width);
    for (int g = 0; g < s->segments; g++)
        for (int e = s->first[g]; e < s->first[g + 1]; e++) {
            const float *ri = a->receiver + s->node[g] * h2, *sj = a->sender + a->senders[s->edge + e] * h2;
            float *pre = s->PRE + e * h2;
            for (int f = 0; f < h2; f += 2 * VW) {
                vec p = LD(pre + f) + LD(ri + f) + LD(sj + f), q = LD(pre + f + VW) + LD(ri + f + VW) + LD(sj + f + VW);
                vec sp = FN(sigmoid)(p), sq = FN(sigmoid)(q);
                p *= sp;
                q *= sq;
                FN(put)(s->ACT + e * h2 + f, p, q);
                if (backward) {
                    ST(pre + f, sp + p * (1.0f - sp));
                    ST(pre + f + VW, sq + q * (1.0f - sq));
                }
            }
        }
    FN(product)(s->ACT, h2, s->message_w, a->message_b, s->Z, s->h, s->h, s->h);
    FN(product)(s->ACT + s->h, h2, s->shift_w, a->shift_b, s->PHI, s->columns, s->columns, s->h);
}

INLINE void FN(forward_block)(Space *s, const Args *a, const int in) {
    const int h = s->h, X = s->columns, plane = BLOCK * in;
    FN(geometry)(s, a, in);
    FN(first_layer)(s, a, 0);
    for (int e = 0; e < s->count; e++) {
        vec dot = ZERO;
        for (int f = 0; f < h; f += 2 * VW) {
            vec m = LD(s->Z + e * h + f), n = LD(s->Z + e * h + f + VW);
            m *= FN(sigmoid)(m);
            n *= FN(sigmoid)(n);
            ST(s->Z + e * h + f, m);
            ST(s->Z + e * h + f + VW, n);
            dot += m * LD(a->gate_w + f) + n * LD(a->gate_w + f + VW);
        }
        s->gate[e] = FN(hsum)(dot);
    }
    for (int v = 0; v < BLOCK; v += VW) ST(s->gate + v, FN(sigmoid)(LD(s->gate + v) + a->gate_b[0]));
    for (int e = 0; e < s->count; e++) s->gate[e] *= a->smooth[s->edge + e];
    for (int g = 0; g < s->segments; g++) {
        const int first = s->first[g], last = s->first[g + 1];
        float *out = a->out_h + s->node[g] * h;
        for (int f = 0; f < h; f += 2 * VW) {
            vec p = ZERO, q = ZERO;
            for (int e = first; e < last; e++) {
                p += s->gate[e] * LD(s->Z + e * h + f);
                q += s->gate[e] * LD(s->Z + e * h + f + VW);
            }
            ST(out + f, LD(out + f) + p);
            ST(out + f + VW, LD(out + f + VW) + q);
        }
        out = a->out_x + s->node[g] * a->lanes_out * 3;
        for (int f = 0; f < 16 * s->vectors; f += VW) {
            vec sum[3] = {ZERO, ZERO, ZERO};
            for (int e = first; e < last; e++) {
                vec phi = LD(s->PHI + e * X + f);
                for (int k = 0; k < 3; k++)
                    sum[k] += in == 1 ? phi * s->DIR[k * plane + e] : phi * LD(s->DUP + (k * BLOCK + e) * 16 + f % 16);
            }
            for (int k = 0; k < 3; k++) ST(s->g2 + 64 * k + f, sum[k]);
        }
        for (int l = 0; l < a->lanes_out; l++)
            for (int k = 0; k < 3; k++) {
                const float *u = s->g2 + 64 * k + l * in;
                out[l * 3 + k] += in == 1 ? u[0] : ((u[0] + u[4]) + (u[1] + u[5])) + ((u[2] + u[6]) + (u[3] + u[7]));
            }
    }
}

static int FN(edges_forward)(const Args *a) {
    Space s;
    int failed = FN(prepare)(&s, a, 0);
    if (failed) return failed;
    FN(tiles_begin)();
    for (int64_t edge = a->edge_start; edge < a->edge_stop && !failed; edge += BLOCK) {
        failed = FN(next_block)(&s, a, edge);
        if (failed) break;
        if (s.in == 1)
            FN(forward_block)(&s, a, 1);
        else
            FN(forward_block)(&s, a, 8);
    }
    FN(tiles_end)();
    free(s.space);
    return failed;
}
