/* The body of the edge kernel, compiled once for each LEVEL. `vec` is the widest vector of the level, of VW floats,
 * and loops over columns go on by VW or two of them. From LEVEL == BF16 on, activations and weights of the matrix
 * products are bfloat16 in tiles, and everything else, sums included, is float32. */

#if LEVEL >= BF16
typedef uint16_t FN(act);
#define DEPTH 4 /* blocks whose weight gradients are taken in one pass over the accumulators */
#else
typedef float FN(act);
#endif
#define act_t FN(act)

#if LEVEL >= AVX512
#define VW 16
typedef v16 FN(vec);
typedef v16u FN(vecu);
typedef i16 FN(ivec);
#elif LEVEL == AVX2
#define VW 8
typedef v8 FN(vec);
typedef v8u FN(vecu);
typedef i8 FN(ivec);
#else
#define VW 4
typedef v4 FN(vec);
typedef v4u FN(vecu);
typedef i4 FN(ivec);
#endif
#define vec FN(vec)
#define vecu FN(vecu)
#define ivec FN(ivec)

INLINE vec FN(ld)(const float *p) { return *(const vecu *)p; }
INLINE void FN(st)(float *p, vec v) { *(vecu *)p = v; }
INLINE v8 FN(ld8)(const float *p) { return *(const v8u *)p; }
INLINE void FN(st8)(float *p, v8 v) { *(v8u *)p = v; }
#define LD FN(ld)
#define ST FN(st)
#define LD8 FN(ld8)
#define ST8 FN(st8)
#define ZERO ((vec){0})

INLINE float FN(hsum)(vec v) {
#if LEVEL >= AVX512
    return _mm512_reduce_add_ps((__m512)v);
#else
    float t[VW], s = 0;
    ST(t, v);
    for (int i = 0; i < VW; i += 4) s += (t[i] + t[i + 2]) + (t[i + 1] + t[i + 3]);
    return s;
#endif
}

/* max(v, 0); NaN stays NaN. */
INLINE vec FN(positive)(vec v) {
#if LEVEL >= AVX512
    return (vec)_mm512_max_ps(_mm512_setzero_ps(), (__m512)v);
#else
    return (vec)(~(v < 0.0f) & (ivec)v);
#endif
}

/* 1 / (1 + exp(-p)); NaN stays NaN. 2^f by minimax polynomials: relative errors 7e-5 (where it is rounded to
 * bfloat16 anyway) and 7e-8. */
INLINE vec FN(sigmoid)(vec p) {
    vec t = p * -1.44269504088896341f;
#if LEVEL >= BF16
    vec f = (vec)_mm512_reduce_ps((__m512)t, 0x09); /* t less the whole number below */
    vec e = 0.9999252213663745f + f * (0.6958335220630307f + f * (0.2260671784313209f + f * 0.07802451946805947f));
    e = (vec)_mm512_scalef_ps((__m512)e, (__m512)t);
    return (vec)_mm512_rcp14_ps((__m512)(e + 1.0f));
#elif LEVEL == AVX512
    t = (vec)_mm512_max_ps(_mm512_set1_ps(-126), _mm512_min_ps(_mm512_set1_ps(126), (__m512)t));
    vec f = (vec)_mm512_reduce_ps((__m512)t, 0x09);
    vec e = 0.6931469838439414f +
            f * (0.24022983625070443f +
                 f * (0.05548334204954815f +
                      f * (0.009678840916762025f + f * (0.0012439688203435997f + f * 0.0002170225516532267f))));
    e = (vec)_mm512_scalef_ps((__m512)(f * e + 1.0f), (__m512)t) + 1.0f;
    vec r = (vec)_mm512_rcp14_ps((__m512)e);
    return r + r * (1.0f - e * r);
#else
    ivec over = t > 126.0f, under = t < -126.0f;
    t = (vec)((over & (ivec)(ZERO + 126.0f)) | (under & (ivec)(ZERO - 126.0f)) | (~(over | under) & (ivec)t));
    vec shifted = t + 12582912.0f; /* 1.5 * 2^23: the sum is rounded to a whole number in its low bits */
    vec f = t - (shifted - 12582912.0f);
    vec e = 0.6931469670420414f +
            f * (0.24022119720074642f +
                 f * (0.05550713276094479f + f * (0.009675541540086405f + f * 0.0013276471737016186f)));
    e = f * e + 1.0f;
    e = (vec)((ivec)e + ((ivec)shifted << 23));
    return 1.0f / (1.0f + e);
#endif
}

INLINE vec FN(root)(vec v) {
#if LEVEL >= AVX512
    return (vec)_mm512_sqrt_ps((__m512)v);
#elif LEVEL == AVX2
    return (vec)_mm256_sqrt_ps((__m256)v);
#else
    for (int i = 0; i < VW; i++) v[i] = sqrtf(v[i]);
    return v;
#endif
}

/* Two vectors of neighbouring columns into a row of activations. */
INLINE void FN(put)(act_t *p, vec low, vec high) {
#if LEVEL >= BF16
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
#else
    ST(p, low);
    ST(p + VW, high);
#endif
}

/* ------------------------------------------------------------------------------------------- matrix products */

#if LEVEL >= BF16

#if LEVEL == AMX
#define BARRIER() __asm__ volatile("" ::: "memory")
#define TILE_LOAD(t, p, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"((int64_t)(stride)) : "memory")
#define TILE_STORE(t, p, stride) \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((int64_t)(stride)) : "memory")
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t ::)
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

static void FN(tiles_begin)(void) {
    struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } config;
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int t = 0; t < 8; t++) config.bytes[t] = 64, config.rows[t] = 16;
    __asm__ volatile("ldtilecfg %0" ::"m"(config) : "memory");
}

static void FN(tiles_end)(void) { __asm__ volatile("tilerelease" ::: "memory"); }
#else
static void FN(tiles_begin)(void) {}
static void FN(tiles_end)(void) {}

/* c[i][j] += the 16 columns of j at row i, for `pairs` pairs of k: rows of A are a_row apart, panels of W w_panel. */
INLINE void FN(dots)(__m512 c[8][2], const act_t *A, int64_t a_row, const act_t *W, int64_t w_panel, int pairs,
                     const int wide) {
    for (int p = 0; p < pairs; p++) {
        __m512bh w[2];
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) w[j] = (__m512bh)_mm512_loadu_si512(W + j * w_panel + 32 * p);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            int32_t pair;
            memcpy(&pair, A + i * a_row + 2 * p, 4);
            __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int j = 0; j < wide; j++) c[i][j] = _mm512_dpbf16_ps(c[i][j], a, w[j]);
        }
    }
}
#endif

static inline uint16_t FN(round_bf16)(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Element (k, n) = source[k * row + n * column], zero beyond (K_used, N_used); K is padded to 32 and N to 16.
 * Tiles [n][k] of 16 x 32 in the pairwise order of the dot product instruction. */
static void FN(pack)(const float *source, int64_t row, int64_t column, int K, int N, int K_used, int N_used, act_t *out) {
    for (int n0 = 0; n0 < N; n0 += 16)
        for (int k0 = 0; k0 < K; k0 += 32, out += 512)
            for (int k = 0; k < 32; k++)
                for (int n = 0; n < 16; n++)
                    out[(k / 2) * 32 + 2 * n + k % 2] =
                        k0 + k < K_used && n0 + n < N_used
                            ? FN(round_bf16)(source[(k0 + k) * row + (n0 + n) * column]) : 0;
}

/* C [32, N] = A [32, K] W [K, N] (+ bias). */
#if LEVEL == AMX
static void FN(product)(const act_t *A, int lda, const act_t *W, const float *bias, float *C, int ldc, int N, int K) {
    const int64_t a_row = 2 * (int64_t)lda, c_row = 4 * (int64_t)ldc, panel = 512 * (int64_t)(K / 32);
    BARRIER();
    int n = 0;
    for (; n + 32 <= N; n += 32) {
        if (bias) {
            TILE_LOAD(0, bias + n, 0);
            TILE_LOAD(1, bias + n + 16, 0);
            TILE_LOAD(2, bias + n, 0);
            TILE_LOAD(3, bias + n + 16, 0);
        } else {
            TILE_ZERO(0);
            TILE_ZERO(1);
            TILE_ZERO(2);
            TILE_ZERO(3);
        }
        const act_t *w = W + (n / 16) * panel;
        for (int k = 0; k < K; k += 32, w += 512) {
            TILE_LOAD(4, A + k, a_row);
            TILE_LOAD(6, w, 64);
            TILE_LOAD(7, w + panel, 64);
            TILE_LOAD(5, A + 16 * (int64_t)lda + k, a_row);
            TILE_DOT(0, 4, 6);
            TILE_DOT(1, 4, 7);
            TILE_DOT(2, 5, 6);
            TILE_DOT(3, 5, 7);
        }
        TILE_STORE(0, C + n, c_row);
        TILE_STORE(1, C + n + 16, c_row);
        TILE_STORE(2, C + 16 * (int64_t)ldc + n, c_row);
        TILE_STORE(3, C + 16 * (int64_t)ldc + n + 16, c_row);
    }
    if (n < N) {
        TILE_ZERO(0);
        TILE_ZERO(2);
        const act_t *w = W + (n / 16) * panel;
        for (int k = 0; k < K; k += 32, w += 512) {
            TILE_LOAD(4, A + k, a_row);
            TILE_LOAD(6, w, 64);
            TILE_LOAD(5, A + 16 * (int64_t)lda + k, a_row);
            TILE_DOT(0, 4, 6);
            TILE_DOT(2, 5, 6);
        }
        TILE_STORE(0, C + n, c_row);
        TILE_STORE(2, C + 16 * (int64_t)ldc + n, c_row);
    }
    BARRIER();
}
#else
INLINE void FN(rows)(const act_t *A, int lda, const act_t *W, int64_t w_panel, const float *bias, float *C, int ldc,
                     int pairs, const int wide) {
    __m512 c[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) c[i][j] = bias ? _mm512_loadu_ps(bias + 16 * j) : _mm512_setzero_ps();
    FN(dots)(c, A, lda, W, w_panel, pairs, wide);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) _mm512_storeu_ps(C + i * (int64_t)ldc + 16 * j, c[i][j]);
}

static void FN(product)(const act_t *A, int lda, const act_t *W, const float *bias, float *C, int ldc, int N, int K) {
    const int pairs = (K + 1) / 2, panel = (K + 31) / 32 * 512;
    for (int n = 0; n < N; n += 32) {
        const act_t *w = W + (n / 16) * (int64_t)panel;
        const float *b = bias ? bias + n : 0;
        for (int r = 0; r < BLOCK; r += 8)
            if (n + 32 <= N)
                FN(rows)(A + r * (int64_t)lda, lda, w, panel, b, C + r * (int64_t)ldc + n, ldc, pairs, 2);
            else
                FN(rows)(A + r * (int64_t)lda, lda, w, panel, b, C + r * (int64_t)ldc + n, ldc, pairs, 1);
    }
}
#endif

/* Sums over edges, C [M, N] = A^T B, want the edges in pairs along the rows of B and along those of A^T.
 * Both orders come from interleaving the rows of two edges, which takes the columns of each group of 32 in the
 * order of `unshuffled` below; that is undone at the very end. Tiles lie [column group][slot]. */
static void FN(pair_rows)(const act_t *X, int ld, int columns, act_t *tiles, int slot) {
    for (int g = 0; g < columns; g += 32) {
        act_t *low = tiles + ((int64_t)(g / 16) * DEPTH + slot) * 512, *high = low + DEPTH * 512;
        for (int p = 0; p < 16; p++) {
            __m512i a = _mm512_loadu_si512(X + (2 * p) * (int64_t)ld + g);
            __m512i b = _mm512_loadu_si512(X + (2 * p + 1) * (int64_t)ld + g);
            _mm512_storeu_si512(low + 32 * p, _mm512_unpacklo_epi16(a, b));
            _mm512_storeu_si512(high + 32 * p, _mm512_unpackhi_epi16(a, b));
        }
    }
}

INLINE int FN(unshuffled)(int tile, int q) { return 32 * (tile / 2) + 8 * (q / 4) + 4 * (tile % 2) + q % 4; }

INLINE void FN(transpose_store)(__m512i r[16], act_t *out) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    /* r[4 g + c], lane l: column 4 l + c of rows 4 g .. 4 g + 3 */
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512i a = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
        __m512i d = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd), e = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
        _mm512_storeu_si512(out + 32 * c, _mm512_shuffle_i32x4(a, b, 0x88));
        _mm512_storeu_si512(out + 32 * (8 + c), _mm512_shuffle_i32x4(a, b, 0xdd));
        _mm512_storeu_si512(out + 32 * (4 + c), _mm512_shuffle_i32x4(d, e, 0x88));
        _mm512_storeu_si512(out + 32 * (12 + c), _mm512_shuffle_i32x4(d, e, 0xdd));
    }
}

static void FN(pair_columns)(const act_t *X, int ld, int columns, act_t *tiles, int slot) {
    for (int g = 0; g < columns; g += 32) {
        act_t *low = tiles + ((int64_t)(g / 16) * DEPTH + slot) * 512, *high = low + DEPTH * 512;
        __m512i r[16];
#pragma GCC unroll 16
        for (int p = 0; p < 16; p++)
            r[p] = _mm512_unpacklo_epi16(_mm512_loadu_si512(X + (2 * p) * (int64_t)ld + g),
                                         _mm512_loadu_si512(X + (2 * p + 1) * (int64_t)ld + g));
        FN(transpose_store)(r, low);
#pragma GCC unroll 16
        for (int p = 0; p < 16; p++)
            r[p] = _mm512_unpackhi_epi16(_mm512_loadu_si512(X + (2 * p) * (int64_t)ld + g),
                                         _mm512_loadu_si512(X + (2 * p + 1) * (int64_t)ld + g));
        FN(transpose_store)(r, high);
    }
}

/* C += A^T B for `slots` blocks; C in tiles [M / 16][N / 16][16][16], M and N multiples of 32;
 * rows from M_used on are padding. */
#if LEVEL == AMX
static void FN(outer)(const act_t *A, const act_t *B, float *C, int M, int N, int slots, int M_used) {
    (void)M_used;
    BARRIER();
    for (int m = 0; m < M / 16; m += 2)
        for (int n = 0; n < N / 16; n += 2) {
            float *c = C + ((int64_t)m * (N / 16) + n) * 256, *d = c + (N / 16) * 256;
            const act_t *a = A + (int64_t)m * DEPTH * 512, *b = B + (int64_t)n * DEPTH * 512;
            TILE_LOAD(0, c, 64);
            TILE_LOAD(1, c + 256, 64);
            TILE_LOAD(2, d, 64);
            TILE_LOAD(3, d + 256, 64);
            for (int s = 0; s < slots; s++, a += 512, b += 512) {
                TILE_LOAD(4, a, 64);
                TILE_LOAD(6, b, 64);
                TILE_LOAD(7, b + DEPTH * 512, 64);
                TILE_LOAD(5, a + DEPTH * 512, 64);
                TILE_DOT(0, 4, 6);
                TILE_DOT(1, 4, 7);
                TILE_DOT(2, 5, 6);
                TILE_DOT(3, 5, 7);
            }
            TILE_STORE(0, c, 64);
            TILE_STORE(1, c + 256, 64);
            TILE_STORE(2, d, 64);
            TILE_STORE(3, d + 256, 64);
        }
    BARRIER();
}
#else
static void FN(outer)(const act_t *A, const act_t *B, float *C, int M, int N, int slots, int M_used) {
    for (int m = 0; m < M; m += 8) {
        if (FN(unshuffled)(m / 16, m % 16) >= M_used) continue;
        for (int n = 0; n < N / 16; n += 2) {
            float *at = C + ((int64_t)(m / 16) * (N / 16) + n) * 256 + m % 16 * 16;
            const act_t *a = A + (int64_t)(m / 16) * DEPTH * 512 + m % 16 * 32, *b = B + (int64_t)n * DEPTH * 512;
            __m512 c[8][2];
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) c[i][0] = _mm512_loadu_ps(at + 16 * i), c[i][1] = _mm512_loadu_ps(at + 256 + 16 * i);
            for (int s = 0; s < slots; s++) FN(dots)(c, a + 512 * s, 32, b + 512 * s, DEPTH * 512, 16, 2);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) _mm512_storeu_ps(at + 16 * i, c[i][0]), _mm512_storeu_ps(at + 256 + 16 * i, c[i][1]);
        }
    }
}
#endif

/* The tiles C [M, N] transposed into out [N_used, M_used]. */
static void FN(unpack)(const float *C, int M, int N, int M_used, int N_used, float *out) {
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            int row = FN(unshuffled)(m / 16, m % 16), column = FN(unshuffled)(n / 16, n % 16);
            if (row < M_used && column < N_used)
                out[(int64_t)column * M_used + row] = C[((m / 16) * (N / 16) + n / 16) * 256 + (m % 16) * 16 + n % 16];
        }
}

#else /* float32 */

#define WIDE (LEVEL == AVX512 ? 4 : 2) /* vectors of a row in registers, times four rows */

static void FN(tiles_begin)(void) {}
static void FN(tiles_end)(void) {}

static void FN(pack)(const float *source, int64_t row, int64_t column, int K, int N, int K_used, int N_used, act_t *out) {
    for (int k = 0; k < K; k++)
        for (int n = 0; n < N; n++) out[k * (int64_t)N + n] = k < K_used && n < N_used ? source[k * row + n * column] : 0;
}

/* C [4, VW * wide] (+)= sum over k of A(row, k) W [k, ..]; A(row, k) = A[row * a_row + k * a_step]. */
INLINE void FN(panel)(const float *A, int64_t a_row, int64_t a_step, const float *W, int64_t w_row, const float *bias,
                      float *C, int64_t c_row, int K, const int wide, const int add) {
    vec c[4][WIDE];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++)
            if (add || bias)
                c[i][j] = LD(add ? C + i * c_row + j * VW : bias + j * VW);
            else
                c[i][j] = ZERO;
    for (int k = 0; k < K; k++) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            float s = A[i * a_row + k * a_step];
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++) c[i][j] += s * LD(W + k * w_row + j * VW);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) ST(C + i * c_row + j * VW, c[i][j]);
}

static void FN(panels)(const float *A, int64_t a_row, int64_t a_step, int rows, const float *W, int64_t w_row,
                       const float *bias, float *C, int64_t c_row, int N, int K, const int add) {
    int n = 0;
    for (; n + VW * WIDE <= N; n += VW * WIDE)
        for (int r = 0; r < rows; r += 4)
            if (add)
                FN(panel)(A + r * a_row, a_row, a_step, W + n, w_row, 0, C + r * c_row + n, c_row, K, WIDE, 1);
            else
                FN(panel)(A + r * a_row, a_row, a_step, W + n, w_row, bias ? bias + n : 0, C + r * c_row + n, c_row, K,
                          WIDE, 0);
    for (; n < N; n += VW)
        for (int r = 0; r < rows; r += 4)
            if (add)
                FN(panel)(A + r * a_row, a_row, a_step, W + n, w_row, 0, C + r * c_row + n, c_row, K, 1, 1);
            else
                FN(panel)(A + r * a_row, a_row, a_step, W + n, w_row, bias ? bias + n : 0, C + r * c_row + n, c_row, K,
                          1, 0);
}

static void FN(product)(const act_t *A, int lda, const act_t *W, const float *bias, float *C, int ldc, int N, int K) {
    FN(panels)(A, lda, 1, BLOCK, W, N, bias, C, ldc, N, K, 0);
}

#undef WIDE
#endif

/* ------------------------------------------------------------------------------------------------- workspace */

typedef struct {
    int h, radial, in, columns, vectors;
    int used, width; /* columns of the edge features, and padded */
    int count, segments;                        /* real edges of the block; runs of edges with one receiver */
    int64_t edge, node[BLOCK];
    int first[BLOCK + 1];
    float *space;
    act_t *edge_w, *message_w, *shift_w;       /* packed for forward */
    act_t *edge_t, *message_t, *shift_t;       /* and for the way back */
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
    /* an odd number of cache lines between tables, so that they do not share the same sets */
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

/* The next edges, at most BLOCK, and the runs of equal receivers among them. */
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
    if (s->count < BLOCK) { /* rows without an edge must not add anything to the sums over all rows */
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

/* Vectors, cutoff-weighted directions and invariants of a block; tables [3][edge][channel] and [edge][channel]. */
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
        for (int k = 0; k < 3; k++) { /* twice, as 16 columns of phi belong to two outgoing channels */
            v8 d = LD8(s->DIR + k * plane + 8 * e);
            ST8(s->DUP + (k * BLOCK + e) * 16, d);
            ST8(s->DUP + (k * BLOCK + e) * 16 + 8, d);
        }
    }
    /* bells (1 - u^2)^3 around even centres; a support is three steps */
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

/* silu of both halves of the first layer into ACT; on the way back its slope replaces PRE. */
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

/* -------------------------------------------------------------------------------------------------- forward */

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

/* ------------------------------------------------------------------------------------------------- backward */

/* Gradients of m, of the gate and of the message layer: dz into DZ. */
INLINE void FN(message_back)(Space *s, const Args *a) {
    const int h = s->h;
    for (int g = 0; g < s->segments; g++) {
        const float *g1 = a->grad_out_h + s->node[g] * h;
        for (int e = s->first[g]; e < s->first[g + 1]; e++) {
            vec gate = ZERO, dot = ZERO;
            for (int f = 0; f < h; f += VW) {
                vec z = LD(s->Z + e * h + f), sz = FN(sigmoid)(z), m = z * sz;
                ST(s->Z + e * h + f, m);
                ST(s->SLOPE + e * h + f, sz + m * (1.0f - sz));
                gate += m * LD(a->gate_w + f);
                dot += m * LD(g1 + f);
            }
            s->gate[e] = FN(hsum)(gate);
            s->dot[e] = FN(hsum)(dot);
        }
    }
    /* gate: a c, the weight of m; dot: the gradient of the gate before its sigmoid */
    float total = 0;
    for (int v = 0; v < BLOCK; v += VW) {
        vec open = FN(sigmoid)(LD(s->gate + v) + a->gate_b[0]);
        ST(s->gate + v, open);
        ST(s->dot + v, LD(s->dot + v) * open * (1.0f - open));
    }
    for (int e = 0; e < s->count; e++) {
        s->gate[e] *= a->smooth[s->edge + e];
        s->dot[e] *= a->smooth[s->edge + e];
        total += s->dot[e];
    }
    a->grad_gate_b[0] += total;
    for (int f = 0; f < h; f += 2 * VW) {
        vec w0 = LD(a->gate_w + f), w1 = LD(a->gate_w + f + VW);
        vec b0 = LD(a->grad_message_b + f), b1 = LD(a->grad_message_b + f + VW);
        vec d0 = LD(a->grad_gate_w + f), d1 = LD(a->grad_gate_w + f + VW);
        for (int g = 0; g < s->segments; g++) {
            vec g0 = LD(a->grad_out_h + s->node[g] * h + f), g1 = LD(a->grad_out_h + s->node[g] * h + f + VW);
            for (int e = s->first[g]; e < s->first[g + 1]; e++) {
                const float ac = s->gate[e], dg = s->dot[e];
                d0 += dg * LD(s->Z + e * h + f);
                d1 += dg * LD(s->Z + e * h + f + VW);
                vec z0 = (g0 * ac + w0 * dg) * LD(s->SLOPE + e * h + f);
                vec z1 = (g1 * ac + w1 * dg) * LD(s->SLOPE + e * h + f + VW);
                b0 += z0;
                b1 += z1;
                FN(put)(s->DZ + e * h + f, z0, z1);
            }
        }
        ST(a->grad_message_b + f, b0);
        ST(a->grad_message_b + f + VW, b1);
        ST(a->grad_gate_w + f, d0);
        ST(a->grad_gate_w + f + VW, d1);
    }
}

/* Gradients of phi into DPHI and of the weighted directions into DD. */
INLINE void FN(shift_back)(Space *s, const Args *a, const int in, const int vectors) {
    const int X = s->columns, plane = BLOCK * in, columns = 16 * vectors;
    for (int g = 0; g < s->segments; g++) {
        const float *g2 = a->grad_out_x + s->node[g] * a->lanes_out * 3;
        /* the gradient with respect to (out, direction), at every column of phi that it meets */
        float *gx = s->g2, *gy = gx + 64, *gz = gy + 64;
        for (int c = 0; c < columns; c++) gx[c] = g2[c / in * 3], gy[c] = g2[c / in * 3 + 1], gz[c] = g2[c / in * 3 + 2];
        for (int f = 0; f < columns; f += 2 * VW) {
            const int o = f % 16, p = (f + VW) % 16, two = f + VW < columns;
            vec b = LD(a->grad_shift_b + f), c = LD(a->grad_shift_b + f + VW);
            for (int e = s->first[g]; e < s->first[g + 1]; e++) {
                vec u, v = ZERO;
                if (in == 1) {
                    const float x = s->DIR[e], y = s->DIR[plane + e], z = s->DIR[2 * plane + e];
                    u = LD(gx + f) * x + LD(gy + f) * y + LD(gz + f) * z;
                    if (two) v = LD(gx + f + VW) * x + LD(gy + f + VW) * y + LD(gz + f + VW) * z;
                } else {
                    const float *x = s->DUP + e * 16, *y = x + BLOCK * 16, *z = y + BLOCK * 16;
                    u = LD(gx + f) * LD(x + o) + LD(gy + f) * LD(y + o) + LD(gz + f) * LD(z + o);
                    if (two) v = LD(gx + f + VW) * LD(x + p) + LD(gy + f + VW) * LD(y + p) + LD(gz + f + VW) * LD(z + p);
                }
                b += u;
                c += v;
                FN(put)(s->DPHI + e * X + f, u, v);
            }
            ST(a->grad_shift_b + f, b);
            ST(a->grad_shift_b + f + VW, c);
        }
        if (!a->need_x) continue;
        for (int e = s->first[g]; e < s->first[g + 1]; e++)
            for (int k = 0; k < 3; k++) {
                float t[16];
                vec total = ZERO;
                for (int o = 0; o < 16; o += VW) {
                    vec sum = ZERO;
                    for (int f = o; f < columns; f += 16) sum += LD(s->PHI + e * X + f) * LD(gx + 64 * k + f);
                    total += sum;
                    ST(t + o, sum);
                }
                if (in == 1)
                    s->DD[k * plane + e] = FN(hsum)(total);
                else
                    ST8(s->DD + k * plane + 8 * e, LD8(t) + LD8(t + 8));
            }
    }
}

/* From the first layer to the nodes; DPRE for the weights. */
INLINE void FN(first_layer_back)(Space *s, const Args *a) {
    const int h2 = 2 * s->h;
    FN(product)(s->DZ, s->h, s->message_t, 0, s->DACT, h2, s->h, s->h);
    FN(product)(s->DPHI, s->columns, s->shift_t, 0, s->DACT + s->h, h2, s->h, s->columns);
    for (int g = 0; g < s->segments; g++) {
        float *gi = a->grad_receiver + s->node[g] * h2;
        for (int f = 0; f < h2; f += 2 * VW) {
            vec p = LD(gi + f), q = LD(gi + f + VW);
            for (int e = s->first[g]; e < s->first[g + 1]; e++) {
                float *gj = a->grad_sender + (a->senders[s->edge + e] - a->base) * h2 + f;
                vec d0 = LD(s->DACT + e * h2 + f) * LD(s->PRE + e * h2 + f);
                vec d1 = LD(s->DACT + e * h2 + f + VW) * LD(s->PRE + e * h2 + f + VW);
                FN(put)(s->DPRE + e * h2 + f, d0, d1);
                p += d0;
                q += d1;
                ST(gj, LD(gj) + d0);
                ST(gj + VW, LD(gj + VW) + d1);
            }
            ST(gi + f, p);
            ST(gi + f + VW, q);
        }
    }
}

INLINE void FN(geometry_back)(Space *s, const Args *a, const int in) {
    const int plane = BLOCK * in;
    const float scale = (float)(4 / (a->cutoff * a->cutoff));
    for (int e = 0; in > 1 && e < BLOCK; e++) ST8(s->INV + 8 * e, LD8(s->DINV + 16 * e)); /* now their gradients */
    for (int v = 0; v < plane; v += VW) {
        vec x = LD(s->D + v), y = LD(s->D + plane + v), z = LD(s->D + 2 * plane + v);
        vec dx = LD(s->DD + v), dy = LD(s->DD + plane + v), dz = LD(s->DD + 2 * plane + v);
        vec q = LD(s->Q + v), w = LD(s->W + v);
        vec along = (x * dx + y * dy + z * dz) * w / ((q + 1.0f) * q);
        if (in > 1) {
            vec t = LD(s->T + v);
            along -= LD(s->INV + v) * scale * (1.0f - t * t);
        }
        ST(s->DD + v, dx * w - x * along);
        ST(s->DD + plane + v, dy * w - y * along);
        ST(s->DD + 2 * plane + v, dz * w - z * along);
    }
    for (int g = 0; g < s->segments; g++) {
        float *gi = a->grad_x + (s->node[g] - a->base) * 3 * in;
        for (int e = s->first[g]; e < s->first[g + 1]; e++) {
            float *gj = a->grad_x + (a->senders[s->edge + e] - a->base) * 3 * in;
            for (int k = 0; k < 3; k++)
                if (in == 1) {
                    gi[k] += s->DD[k * plane + e];
                    gj[k] -= s->DD[k * plane + e];
                } else {
                    v8 d = LD8(s->DD + k * plane + 8 * e);
                    ST8(gi + 8 * k, LD8(gi + 8 * k) + d);
                    ST8(gj + 8 * k, LD8(gj + 8 * k) - d);
                }
        }
    }
}

static void FN(weights_back)(Space *s, int flush) {
    const int h = s->h, X = s->columns, width = s->width;
#if LEVEL >= BF16
    if (!flush) {
        FN(pair_columns)(s->F, width, width, s->a_edge, s->slots);
        FN(pair_columns)(s->ACT, 2 * h, 2 * h, s->a_act, s->slots);
        FN(pair_rows)(s->DPRE, 2 * h, 2 * h, s->b_pre, s->slots);
        FN(pair_rows)(s->DZ, h, h, s->b_z, s->slots);
        FN(pair_rows)(s->DPHI, X, X, s->b_phi, s->slots);
        if (++s->slots < DEPTH) return;
    }
    if (s->slots) {
        FN(outer)(s->a_edge, s->b_pre, s->sum_edge, width, 2 * h, s->slots, s->used);
        FN(outer)(s->a_act, s->b_z, s->sum_message, h, h, s->slots, h);
        FN(outer)(s->a_act + (int64_t)(h / 16) * DEPTH * 512, s->b_phi, s->sum_shift, h, X, s->slots, h);
    }
    s->slots = 0;
#else
    if (flush) return;
    FN(panels)(s->F, 1, width, width, s->DPRE, 2 * h, 0, s->sum_edge, 2 * h, 2 * h, BLOCK, 1);
    FN(panels)(s->ACT, 1, 2 * h, h, s->DZ, h, 0, s->sum_message, h, h, BLOCK, 1);
    FN(panels)(s->ACT + h, 1, 2 * h, h, s->DPHI, X, 0, s->sum_shift, X, X, BLOCK, 1);
#endif
}

static void FN(weights_out)(Space *s, const Args *a) {
    const int h = s->h, X = s->columns, width = s->width, used = s->used;
#if LEVEL >= BF16
    FN(unpack)(s->sum_edge, width, 2 * h, used, 2 * h, a->grad_edge_w);
    FN(unpack)(s->sum_message, h, h, h, h, a->grad_message_w);
    FN(unpack)(s->sum_shift, h, X, h, X, a->grad_shift_w);
#else
    for (int n = 0; n < 2 * h; n++)
        for (int m = 0; m < used; m++) a->grad_edge_w[n * used + m] = s->sum_edge[m * 2 * h + n];
    for (int n = 0; n < h; n++)
        for (int m = 0; m < h; m++) a->grad_message_w[n * h + m] = s->sum_message[m * h + n];
    for (int n = 0; n < X; n++)
        for (int m = 0; m < h; m++) a->grad_shift_w[n * h + m] = s->sum_shift[m * X + n];
    (void)width;
#endif
}

INLINE void FN(backward_block)(Space *s, const Args *a, const int in, const int vectors) {
    FN(geometry)(s, a, in);
    FN(first_layer)(s, a, 1);
    FN(message_back)(s, a);
    FN(shift_back)(s, a, in, vectors);
    FN(first_layer_back)(s, a);
    if (a->need_x) {
        if (in > 1) FN(product)(s->DPRE, 2 * s->h, s->edge_t, 0, s->DINV, 16, 16, 2 * s->h);
        FN(geometry_back)(s, a, in);
    }
    FN(weights_back)(s, 0);
}

static int FN(edges_backward)(const Args *a) {
    Space s;
    int failed = FN(prepare)(&s, a, 1);
    if (failed) return failed;
    FN(tiles_begin)();
    for (int64_t edge = a->edge_start; edge < a->edge_stop; edge += BLOCK) {
        failed = FN(next_block)(&s, a, edge);
        if (failed) break;
        if (s.in == 1)
            FN(backward_block)(&s, a, 1, 1);
        else if (s.vectors == 1)
            FN(backward_block)(&s, a, 8, 1);
        else if (s.vectors == 4)
            FN(backward_block)(&s, a, 8, 4);
        else
            FN(backward_block)(&s, a, 8, s.vectors);
    }
    FN(weights_back)(&s, 1);
    FN(tiles_end)();
    FN(weights_out)(&s, a);
    free(s.space);
    return failed;
}

/* ------------------------------------------------------------------------------------------------- distances */

#if LEVEL < BF16
static int FN(distances)(int64_t edges, int64_t nodes, const int64_t *receivers, const int64_t *senders,
                         const float *shifts, const float *positions, double cutoff, float *distance, float *smooth) {
    const float scale = (float)(1 / cutoff);
    for (int64_t edge = 0; edge < edges; edge += 16) {
        float squared[16] = {0}, cut[16];
        const int count = edges - edge < 16 ? (int)(edges - edge) : 16;
        for (int e = 0; e < count; e++) {
            const int64_t i = receivers[edge + e], j = senders[edge + e];
            if (i < 0 || i >= nodes || j < 0 || j >= nodes) return 1;
            for (int k = 0; k < 3; k++) {
                float d = positions[3 * i + k] - positions[3 * j + k] - shifts[3 * (edge + e) + k];
                squared[e] += d * d;
            }
        }
        for (int v = 0; v < 16; v += VW) {
            vec r = FN(root)(LD(squared + v) + 1e-12f);
            vec t = 2.0f * FN(sigmoid)(2.0f * FN(positive)(1.0f - r * scale)) - 1.0f;
            ST(squared + v, r);
            ST(cut + v, 2.0f * t * t);
        }
        memcpy(distance + edge, squared, sizeof(float) * (size_t)count);
        memcpy(smooth + edge, cut, sizeof(float) * (size_t)count);
    }
    return 0;
}
#endif

#undef LD
#undef ST
#undef LD8
#undef ST8
#undef ZERO
#undef VW
#undef vec
#undef vecu
#undef ivec
#undef act_t
#undef Space
#undef DEPTH
