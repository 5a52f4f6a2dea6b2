/* The sum of messages over a range of edges in one message-passing layer, and its gradients (see edge_sums_native.py).
 *
 * Plain C without headers of Python or torch, opened with ctypes. The body is compiled once for each instruction set
 * and chosen at run time, so one binary runs on every processor. Edges are computed in blocks of at most 32 edges of one
 * receiver, whose tables stay in the first- and second-level caches from gather to scatter.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../native_levels.h"

#define ABI 5
#define BLOCK 32

#if X86
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The same fields in the same order as in _Arguments of edge_sums_native.py. */
typedef struct {
    int64_t level, nodes, edge_start, edge_stop;
    int64_t hidden, radial;
    int64_t lanes_in;  /* channels in, padded: 1 or 8 */
    int64_t lanes_out; /* channels out */
    int64_t need_x;    /* backward: whether to compute grad_x */
    int64_t base;      /* backward: first node of grad_sender and grad_x */
    const int64_t *receivers, *senders;
    const float *shifts;   /* [e, 3] */
    const float *distance; /* [e], of the input positions of the network */
    const float *smooth;   /* [e], the smooth cutoff */
    const float *receiver; /* [n, 2 hidden] */
    const float *sender;   /* [n, 2 hidden] */
    const float *x;        /* [n, 3, lanes_in] */
    const float *edge_w;   /* [2 hidden, radial + (8 where lanes_in is 8)] */
    const float *message_w, *message_b, *gate_w, *gate_b;
    const float *shift_w, *shift_b; /* [lanes_out, lanes_in, hidden], [lanes_out, lanes_in] */
    double cutoff;
    /* forward */
    float *out_h; /* [n, hidden], zero on entry */
    float *out_x; /* [n, lanes_out, 3], zero on entry */
    /* backward */
    const float *grad_out_h, *grad_out_x;
    float *grad_receiver;                   /* [n, 2 hidden], zero on entry */
    float *grad_sender, *grad_x;            /* [.., 2 hidden], [.., 3, lanes_in], zero on entry */
    float *grad_edge_w, *grad_message_w, *grad_message_b, *grad_gate_w, *grad_gate_b, *grad_shift_w, *grad_shift_b;
} Args;

typedef float v4 __attribute__((vector_size(16)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i4 __attribute__((vector_size(16)));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef float v4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef float v8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef float v16u __attribute__((vector_size(64), aligned(4), may_alias));

#define LEVEL PLAIN
#define SUFFIX plain
#include "edge_kernel_body.h"
#undef LEVEL
#undef SUFFIX

#if X86

BEGIN_TARGET("avx2,fma")
#define LEVEL AVX2
#define SUFFIX avx2
#include "edge_kernel_body.h"
#undef LEVEL
#undef SUFFIX
END_TARGET

BEGIN_TARGET("avx512f,avx512dq,avx512bw,avx512vl,fma")
#define LEVEL AVX512
#define SUFFIX avx512
#include "edge_kernel_body.h"
#undef LEVEL
#undef SUFFIX
END_TARGET

BEGIN_TARGET("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,fma")
#define LEVEL BF16
#define SUFFIX bf16
#include "edge_kernel_body.h"
#undef LEVEL
#undef SUFFIX
#define LEVEL AMX
#define SUFFIX amx
#include "edge_kernel_body.h"
#undef LEVEL
#undef SUFFIX
END_TARGET

/* Linux gives a process access to the tile registers on request, once per process. */
static int tiles_allowed(void) {
    enum { REQUEST = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static int highest_level(void) {
    int level = highest_float_level();
    if (level < AVX512) return level;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return AVX512;
    int tile = (d >> 24 & 1) && (d >> 22 & 1);
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d)) return AVX512;
    if (!(a >> 5 & 1)) return AVX512;
    return tile && tiles_allowed() ? AMX : BF16;
}

#else

static int highest_level(void) { return PLAIN; }

#endif

EXPORT int amsbench_edge_abi(void) { return ABI; }

/* The highest of the levels that this processor and operating system have. */
EXPORT int amsbench_edge_level(void) { return highest_level(); }

/* Returns 0, or 1: edges not sorted by receiver or out of range, 2: no memory, 3: unknown level. */
EXPORT int amsbench_edge_run(const Args *a, int backward) {
#if X86
    /* denormal numbers are treated as zero, since each takes a hundred cycles; the setting is restored below */
    unsigned control = _mm_getcsr();
    _mm_setcsr(control | 0x8040);
#endif
    int failed;
    switch (a->level) {
    case PLAIN: failed = backward ? edges_backward_plain(a) : edges_forward_plain(a); break;
#if X86
    case AVX2: failed = backward ? edges_backward_avx2(a) : edges_forward_avx2(a); break;
    case AVX512: failed = backward ? edges_backward_avx512(a) : edges_forward_avx512(a); break;
    case BF16: failed = backward ? edges_backward_bf16(a) : edges_forward_bf16(a); break;
    case AMX: failed = backward ? edges_backward_amx(a) : edges_forward_amx(a); break;
#endif
    default: failed = 3;
    }
#if X86
    _mm_setcsr(control);
#endif
    return failed;
}

#if defined(__linux__)
typedef struct {
    const Args *const *jobs;
    int64_t count, next;
    int backward, failed;
} Team;

static void team_member(void *data) {
    Team *team = data;
    for (;;) {
        int64_t k = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED);
        if (k >= team->count) return;
        int failed = amsbench_edge_run(team->jobs[k], team->backward);
        if (failed) __atomic_store_n(&team->failed, failed, __ATOMIC_RELAXED);
    }
}

/* Runs several jobs on the threads of torch's OpenMP runtime, of which ``parallel`` is GOMP_parallel. Its threads are
 * still awake after an operation of torch, and would compete with other threads for the cores. */
EXPORT int amsbench_edge_team(void (*parallel)(void (*)(void *), void *, unsigned, unsigned), const Args *const *jobs,
                              int64_t count, int backward) {
    Team team = {jobs, count, 0, backward, 0};
    parallel(team_member, &team, (unsigned)count, 0);
    return team.failed;
}
#endif

/* Distances and smooth cutoffs 2 tanh(1 - min(r, r_cut) / r_cut)^2 of all edges; returns as above. */
EXPORT int amsbench_edge_distances(int64_t level, int64_t edges, int64_t nodes, const int64_t *receivers,
                                   const int64_t *senders, const float *shifts, const float *positions, double cutoff,
                                   float *distance, float *smooth) {
#if X86
    if (level >= AVX512) return distances_avx512(edges, nodes, receivers, senders, shifts, positions, cutoff, distance, smooth);
    if (level == AVX2) return distances_avx2(edges, nodes, receivers, senders, shifts, positions, cutoff, distance, smooth);
#endif
    if (level != PLAIN) return 3;
    return distances_plain(edges, nodes, receivers, senders, shifts, positions, cutoff, distance, smooth);
}

#if defined(_WIN32)
/* the build tools of Windows require this name; the library is never imported as a module */
EXPORT void *PyInit__edge_kernel(void) { return 0; }
#endif
