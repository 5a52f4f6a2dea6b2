/* The body of the edge kernel, compiled once for each LEVEL. `vec` is the widest vector of the level, with VW floats;
 * loops over columns advance by one or two vectors. From LEVEL == BF16 on, activations and weights of matrix products
 * are bfloat16 in tiles; everything else, sums included, is float32. */

#if LEVEL >= BF16
typedef uint16_t FN(act);
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
#elif LEVEL == AVX2
    __m128 t = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
#else
    float t[VW], s = 0;
    ST(t, v);
    for (int i = 0; i < VW; i += 4) s += (t[i] + t[i + 2]) + (t[i + 1] + t[i + 3]);
    return s;
#endif
}

/* max(v, 0), and NaN for NaN. */
INLINE vec FN(positive)(vec v) {
#if LEVEL >= AVX512
    return (vec)_mm512_max_ps(_mm512_setzero_ps(), (__m512)v);
#elif LEVEL == AVX2
    return (vec)_mm256_max_ps(_mm256_setzero_ps(), (__m256)v);
#else
    return (vec)(~(v < 0.0f) & (ivec)v);
#endif
}

/* exp(-p), and NaN for NaN, of a clamped p; exactly 2^n for the integer nearest to the exponent, times a minimax
 * polynomial with a relative error of 7e-8. */
#if LEVEL < AVX512
INLINE vec FN(inverse_exponential)(vec p) {
#if LEVEL == AVX2 /* these instructions return the second number if one of them is NaN */
    p = (vec)_mm256_max_ps(_mm256_set1_ps(-40), _mm256_min_ps(_mm256_set1_ps(40), (__m256)p));
#else
    ivec over = p > 40.0f, under = p < -40.0f;
    p = (vec)((over & (ivec)(ZERO + 40.0f)) | (under & (ivec)(ZERO - 40.0f)) | (~(over | under) & (ivec)p));
#endif
    vec t = p * -1.44269504088896341f;
    vec shifted = t + 12582912.0f; /* 1.5 * 2^23: the low bits of the sum hold t rounded to an integer */
    vec f = t - (shifted - 12582912.0f);
    vec e = 0.6931469670420414f +
            f * (0.24022119720074642f +
                 f * (0.05550713276094479f + f * (0.009675541540086405f + f * 0.0013276471737016186f)));
    e = f * e + 1.0f;
    return (vec)((ivec)e + ((ivec)shifted << 23));
}
#endif

/* 1 / (1 + exp(-p)), and NaN for NaN. 2^f by minimax polynomials with relative errors of 7e-5, where the result is
 * rounded to bfloat16, and of 7e-8. */
INLINE vec FN(sigmoid)(vec p) {
#if LEVEL >= BF16
    vec t = p * -1.44269504088896341f;
    vec f = (vec)_mm512_reduce_ps((__m512)t, 0x09); /* t minus the largest integer below it */
    vec e = 0.9999252213663745f + f * (0.6958335220630307f + f * (0.2260671784313209f + f * 0.07802451946805947f));
    e = (vec)_mm512_scalef_ps((__m512)e, (__m512)t);
    return (vec)_mm512_rcp14_ps((__m512)(e + 1.0f));
#elif LEVEL == AVX512
    vec t = p * -1.44269504088896341f;
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
    return 1.0f / (1.0f + FN(inverse_exponential)(p));
#endif
}

/* The sigmoids of two vectors, in place. */
INLINE void FN(sigmoids)(vec *p, vec *q) {
#if LEVEL >= AVX512
    *p = FN(sigmoid)(*p);
    *q = FN(sigmoid)(*q);
#else
    /* one division, because it takes as long as three products */
    const vec a = 1.0f + FN(inverse_exponential)(*p), b = 1.0f + FN(inverse_exponential)(*q), inverse = 1.0f / (a * b);
    *p = inverse * b;
    *q = inverse * a;
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

/* Stores two vectors of adjacent columns in a row of activations. */
INLINE void FN(put)(act_t *p, vec low, vec high) {
#if LEVEL >= BF16
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
#else
    ST(p, low);
    ST(p + VW, high);
#endif
}

#include "edge_kernel_products.h"
#include "edge_kernel_block.h"
#include "edge_kernel_forward.h"
#include "edge_kernel_backward.h"

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
#undef SUPPORT
#undef GT_ROW
