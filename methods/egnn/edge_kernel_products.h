/* Matrix products of the edge kernel for one LEVEL (see edge_kernel_body.h), of bfloat16 tiles or in float32. */

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

/* Sums over edges, C [M, N] = A^T B, need the edges in pairs along the rows of B and of A^T. Both are made by
 * interleaving the rows of two edges, which permutes the columns of each group of 32 as in `unshuffled` below. The
 * permutation is undone at the end. Tiles are stored as [column group][slot]. */
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

#define WIDE (LEVEL == AVX512 ? 4 : 2) /* vectors of a row in registers, for each of four rows */

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
