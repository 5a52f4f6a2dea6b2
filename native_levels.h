/* What the C libraries of the package share: exported functions, and code that is compiled for several instruction sets.
 *
 * A file of functions named FN(name) is included once for each level, between BEGIN_TARGET and END_TARGET, with LEVEL
 * and SUFFIX defined; the level is chosen at run time, so that one library runs on every processor. */
#ifndef AMSBENCH_NATIVE_LEVELS_H
#define AMSBENCH_NATIVE_LEVELS_H

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#define SHARED
#else
#define EXPORT __attribute__((visibility("default")))
#define SHARED __attribute__((visibility("hidden")))
#endif

#if defined(__x86_64__) && defined(__linux__)
#define X86 1
#include <immintrin.h>
#else
#define X86 0
#endif

/* levels */
#define PLAIN 0
#define AVX2 1
#define AVX512 2
#define BF16 3 /* AVX-512 with products of bfloat16 pairs */
#define AMX 4

#define CAT_(a, b) a##_##b
#define CAT(a, b) CAT_(a, b)
#define FN(name) CAT(name, SUFFIX)

/* The functions between BEGIN_TARGET and END_TARGET may use the instructions named by a string such as "avx2,fma". */
#define PRAGMA(...) _Pragma(#__VA_ARGS__)
#if defined(__clang__)
#define BEGIN_TARGET(features) PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define END_TARGET PRAGMA(clang attribute pop)
#else
#define BEGIN_TARGET(features) PRAGMA(GCC push_options) PRAGMA(GCC target(features))
#define END_TARGET PRAGMA(GCC pop_options)
#endif

#if X86
/* The best of the first three levels that this processor and operating system have. */
INLINE int highest_float_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PLAIN;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("popcnt"))
        return AVX2;
    return AVX512;
}
#else
INLINE int highest_float_level(void) { return PLAIN; }
#endif

#endif
