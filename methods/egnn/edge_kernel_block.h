/* The tables of a block of edges, and its geometry, for one LEVEL (see edge_kernel_body.h). */

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
