/* Matrix products of the edge kernel for one LEVEL (see edge_kernel_body.h).
 *
 * All of them are made of tiles: TILE_ROWS rows by WIDE vectors of sums that stay in registers while k advances. The
 * elements of the factors are units of four bytes: a float, or a pair of bfloat16 that one instruction multiplies and
 * adds, so that k counts pairs. */

#define TILE_ROWS 6 /* with two vectors per row and the factors, as many registers as AVX2 has */
#define WIDE (LEVEL >= AVX512 ? 4 : 2)

/* C [rows, wide vectors] (+)= sum over k of A(row, k) W [k, ..]; A(row, k) = A[row * a_row + k * a_step]. */
INLINE void FN(tile)(const float *A, int64_t a_row, int64_t a_step, const float *W, int64_t w_row, const float *bias,
                     float *C, int64_t c_row, int K, const int rows, const int wide, const int add, const int pairs) {
    vec c[TILE_ROWS][WIDE];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++)
            c[i][j] = add ? LD(C + i * c_row + j * VW) : bias ? LD(bias + j * VW) : ZERO;
    for (int k = 0; k < K; k++) {
        vec w[WIDE];
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) w[j] = LD(W + k * w_row + j * VW);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
#if LEVEL >= BF16
            if (pairs) {
                int32_t pair;
                memcpy(&pair, A + i * a_row + k * a_step, 4);
                const __m512bh s = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
                for (int j = 0; j < wide; j++) c[i][j] = (vec)_mm512_dpbf16_ps((__m512)c[i][j], s, (__m512bh)w[j]);
                continue;
            }
#else
            (void)pairs;
#endif
            const float s = A[i * a_row + k * a_step];
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++) c[i][j] += s * w[j];
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) ST(C + i * c_row + j * VW, c[i][j]);
}

/* The same for any even number of rows. */
INLINE void FN(column_of_tiles)(const float *A, int64_t a_row, int64_t a_step, int rows, const float *W, int64_t w_row,
                                const float *bias, float *C, int64_t c_row, int K, const int wide, const int add,
                                const int pairs) {
    int r = 0;
    for (; r + 6 <= rows; r += 6)
        FN(tile)(A + r * a_row, a_row, a_step, W, w_row, bias, C + r * c_row, c_row, K, 6, wide, add, pairs);
    if (r + 4 <= rows) {
        FN(tile)(A + r * a_row, a_row, a_step, W, w_row, bias, C + r * c_row, c_row, K, 4, wide, add, pairs);
        r += 4;
    }
    if (r < rows) FN(tile)(A + r * a_row, a_row, a_step, W, w_row, bias, C + r * c_row, c_row, K, 2, wide, add, pairs);
}

/* C [rows, N] (+)= A W for an even number of rows and N a multiple of VW. W is [K, N] in rows w_row apart, or, where
 * w_row is 0, packed. */
INLINE void FN(multiply)(const float *A, int64_t a_row, int64_t a_step, int rows, const float *W, int64_t w_row,
                         const float *bias, float *C, int64_t c_row, int N, int K, const int add, const int pairs) {
    int n = 0;
#define COLUMNS(wide) \
    FN(column_of_tiles)(A, a_row, a_step, rows, w_row ? W + n : W + (int64_t)n * K, w_row ? w_row : (wide) * VW, \
                        bias ? bias + n : 0, C + n, c_row, K, wide, add, pairs)
    for (; n + WIDE * VW <= N; n += WIDE * VW) COLUMNS(WIDE);
#if LEVEL >= AVX512
    if (n + 2 * VW <= N) {
        COLUMNS(2);
        n += 2 * VW;
    }
#endif
    if (n < N) COLUMNS(1);
#undef COLUMNS
}

/* C [rows, N] = A W, with the rows of W w_row apart. */
static void FN(product_of_rows)(const float *A, int64_t a_row, int rows, const float *W, int64_t w_row,
                                const float *bias, float *C, int64_t c_row, int N, int K) {
    FN(multiply)(A, a_row, 1, rows, W, w_row, bias, C, c_row, N, K, 0, 0);
}

/* C [M, N] += A^T B, sums over K edges; M even. */
static void FN(outer)(const float *A, int64_t lda, const float *B, int64_t ldb, float *C, int M, int N, int K) {
    FN(multiply)(A, 1, lda, M, B, ldb, 0, C, N, N, K, 1, 0);
}

INLINE void FN(narrow_tile)(const float *A, int K, const float *W, float *C, const int rows) {
    v8 c[12];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) c[i] = (v8){0};
    for (int k = 0; k < K; k++) {
        const v8 w = LD8(W + 8 * k);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) c[i] += A[i * K + k] * w;
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) ST8(C + 8 * i, c[i]);
}

/* C [rows, 8] = A [rows, K] W for an even number of rows. Twelve sums hide the latency of the processor. */
static void FN(narrow_product)(const float *A, int K, int rows, const float *W, float *C) {
    int r = 0;
    for (; r + 12 <= rows; r += 12) FN(narrow_tile)(A + r * K, K, W, C + 8 * r, 12);
    for (; r + 6 <= rows; r += 6) FN(narrow_tile)(A + r * K, K, W, C + 8 * r, 6);
    for (; r + 4 <= rows; r += 4) FN(narrow_tile)(A + r * K, K, W, C + 8 * r, 4);
    for (; r < rows; r += 2) FN(narrow_tile)(A + r * K, K, W, C + 8 * r, 2);
}

/* The products of activations [edge, h] of type act_t: of the message layer, and of its gradients. */
#if LEVEL >= BF16

static inline uint16_t FN(round_bf16)(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) return (uint16_t)(bits >> 16 | 64);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Element (k, n) = source[k * row + n * column] as `multiply` reads it: blocks of columns of the width of a tile, each
 * [K, width], in pairs of k. */
static void FN(pack_act)(const float *source, int64_t row, int64_t column, int K, int N, act_t *out) {
    for (int n0 = 0, width; n0 < N; n0 += width) {
        width = WIDE * VW;
        while (n0 + width > N) width /= 2;
        for (int k = 0; k < K; k += 2)
            for (int n = n0; n < n0 + width; n++)
                for (int i = 0; i < 2; i++) *out++ = FN(round_bf16)(source[(k + i) * row + n * column]);
    }
}

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

/* C [BLOCK, N] = A W + bias, all rows of the block; N and K are multiples of 32. */
static void FN(product_act)(const act_t *A, int rows, const act_t *W, const float *bias, float *C, int64_t c_row, int N,
                            int K) {
    (void)rows;
    const int64_t a_row = 2 * (int64_t)K, row = 4 * c_row;
    BARRIER();
    for (int n = 0; n < N; n += 32) {
        const int start = n / 64 * 64, width = N - start < 64 ? 32 : 64; /* of the packed columns */
        const act_t *w = W + (int64_t)start * K + 2 * (n - start);
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
        for (int k = 0; k < K; k += 32, w += 32 * width) {
            TILE_LOAD(4, A + k, a_row);
            TILE_LOAD(6, w, 4 * width);
            TILE_LOAD(7, w + 32, 4 * width);
            TILE_LOAD(5, A + 16 * (int64_t)K + k, a_row);
            TILE_DOT(0, 4, 6);
            TILE_DOT(1, 4, 7);
            TILE_DOT(2, 5, 6);
            TILE_DOT(3, 5, 7);
        }
        TILE_STORE(0, C + n, row);
        TILE_STORE(1, C + n + 16, row);
        TILE_STORE(2, C + 16 * c_row + n, row);
        TILE_STORE(3, C + 16 * c_row + n + 16, row);
    }
    BARRIER();
}
#else
static void FN(tiles_begin)(void) {}
static void FN(tiles_end)(void) {}

static void FN(product_act)(const act_t *A, int rows, const act_t *W, const float *bias, float *C, int64_t c_row, int N,
                            int K) {
    FN(multiply)((const float *)A, K / 2, 1, rows, (const float *)W, 0, bias, C, c_row, N, K / 2, 0, 1);
}
#endif

/* Rows of two edges interleaved, [edge / 2, columns] pairs, for sums over edges. */
static void FN(pair_edges)(const act_t *X, int columns, int rows, act_t *out) {
    __m512i low, high;
    uint16_t order[64];
    for (int i = 0; i < 64; i++) order[i] = (uint16_t)(i / 2 + i % 2 * 32);
    low = _mm512_loadu_si512(order);
    high = _mm512_loadu_si512(order + 32);
    for (int e = 0; e < rows; e += 2, X += 2 * columns)
        for (int n = 0; n < columns; n += 32, out += 64) {
            __m512i a = _mm512_loadu_si512(X + n), b = _mm512_loadu_si512(X + columns + n);
            _mm512_storeu_si512(out, _mm512_permutex2var_epi16(a, low, b));
            _mm512_storeu_si512(out + 32, _mm512_permutex2var_epi16(a, high, b));
        }
}

/* C [h, h] += A^T B, sums over an even number of edges; pairs: space for both factors. */
static void FN(outer_act)(const act_t *A, const act_t *B, float *C, int h, int rows, act_t *pairs) {
    act_t *other = pairs + BLOCK * h;
    FN(pair_edges)(A, h, rows, pairs);
    FN(pair_edges)(B, h, rows, other);
    FN(multiply)((const float *)pairs, 1, h, h, (const float *)other, h, 0, C, h, h, rows / 2, 1, 1);
}

#else /* float32 */

static void FN(tiles_begin)(void) {}
static void FN(tiles_end)(void) {}

/* Element (k, n) = source[k * row + n * column] as `multiply` reads it: blocks of columns of the width of a tile, each
 * [K, width]. */
static void FN(pack_act)(const float *source, int64_t row, int64_t column, int K, int N, float *out) {
    for (int n0 = 0, width; n0 < N; n0 += width) {
        width = WIDE * VW;
        while (n0 + width > N) width /= 2;
        for (int k = 0; k < K; k++)
            for (int n = n0; n < n0 + width; n++) *out++ = source[k * row + n * column];
    }
}

static void FN(product_act)(const float *A, int rows, const float *W, const float *bias, float *C, int64_t c_row, int N,
                            int K) {
    FN(multiply)(A, K, 1, rows, W, 0, bias, C, c_row, N, K, 0, 0);
}

static void FN(outer_act)(const float *A, const float *B, float *C, int h, int rows, float *pairs) {
    (void)pairs;
    FN(outer)(A, h, B, h, C, h, h, rows);
}

#endif

#undef WIDE
#undef TILE_ROWS
