/* Periodic neighbour lists of batches of structures (see neighbour_list.py). distribution_counts.c uses the same
 * searches.
 *
 * Plain C with a plain interface: no Python headers, opened with ctypes. The searches (neighbours_body.h) are
 * compiled once for each instruction set and chosen at run time. Nothing is contracted to fused multiply-adds
 * (-ffp-contract=off), so that every instruction set finds the same pairs to the last bit.
 *
 * Along lattice direction k, fractional difference f and cell height h, an image m can be within the cutoff only
 * if |f - m| h <= cutoff. Where all heights are two cutoffs this leaves the nearest image alone; elsewhere, and in
 * structures of many atoms, all images that pass are listed, sorted into bins that are at least a cutoff high.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "neighbours.h"

#define ABI 1
#define NEAREST_MOST 800 /* most atoms of a search over all pairs; with more, bins are faster */
#define SLACK 1e-7       /* fractional; rounding may list an image too many, never one too few */
#define THINNEST 1e7     /* edges over height of a cell; rounding of fractions then stays far below the slack */
#define MOST 2000000000.0

typedef struct {
    int64_t structures;
    Search *searches;
    int32_t *hits; /* of all atoms of all structures, one after the other */
} Found;

INLINE int64_t bin_of(double fraction, int64_t bins, int64_t lowest, int64_t highest) {
    double bin = floor(fraction * (double)bins);
    return bin < (double)lowest ? lowest : bin > (double)highest ? highest : (int64_t)bin;
}

#define LEVEL PLAIN
#define SUFFIX plain
#include "neighbours_body.h"
#undef LEVEL
#undef SUFFIX

#if X86

BEGIN_TARGET("avx2,fma")
#define LEVEL AVX2
#define SUFFIX avx2
#include "neighbours_body.h"
#undef LEVEL
#undef SUFFIX
END_TARGET

BEGIN_TARGET("avx512f,avx512dq,avx512vl,popcnt")
#define LEVEL AVX512
#define SUFFIX avx512
#include "neighbours_body.h"
#undef LEVEL
#undef SUFFIX
END_TARGET

SHARED Hits hits_at(int64_t level) {
    if (level < PLAIN || level > highest_float_level()) return 0;
    return level == AVX512 ? hits_avx512 : level == AVX2 ? hits_avx2 : hits_plain;
}

#else

SHARED Hits hits_at(int64_t level) { return level == PLAIN ? hits_plain : 0; }

#endif

SHARED void release_search(Search *s) {
    free(s->atom_memory);
    free(s->image_memory);
    free(s->bin_memory);
    memset(s, 0, sizeof *s);
}

/* Wraps the atoms into the cell. Far outside of it one step is not exact, so the step is repeated until no atom moves.
 * An atom on a face stays on it. */
static int wrap(Search *s, const double *positions, double inverse[3][3]) {
    const double *c = s->cell;
    for (int64_t a = 0; a < s->n; a++) {
        double w[3] = {positions[3 * a], positions[3 * a + 1], positions[3 * a + 2]}, moved[3] = {0, 0, 0}, g[3];
        for (int step = 0; step < 50; step++) {
            double by[3];
            for (int k = 0; k < 3; k++) {
                g[k] = w[0] * inverse[0][k] + w[1] * inverse[1][k] + w[2] * inverse[2][k];
                by[k] = g[k] > -1e-9 && g[k] < 1 + 1e-9 ? 0 : floor(g[k]);
                moved[k] += by[k];
            }
            if (by[0] == 0 && by[1] == 0 && by[2] == 0) break;
            for (int k = 0; k < 3; k++) w[k] -= by[0] * c[k] + by[1] * c[3 + k] + by[2] * c[6 + k];
        }
        for (int k = 0; k < 3; k++) {
            if (!isfinite(w[k]) || !isfinite(g[k])) return NOT_FINITE;
            if (g[k] < -SLACK || g[k] > 1 + SLACK) return NO_VOLUME;
            s->w[k][a] = w[k];
            s->g[k][a] = g[k];
            s->moved[k][a] = moved[k];
        }
    }
    return DONE;
}

/* Lists the images that can be within reach (cutoff / height) of an atom in the cell, sorted by bin. */
static int list_images(Search *s, const double reach[3]) {
    double low[3], high[3], most = (double)s->n;
    for (int k = 0; k < 3; k++) {
        low[k] = high[k] = s->g[k][0];
        for (int64_t a = 1; a < s->n; a++) {
            if (s->g[k][a] < low[k]) low[k] = s->g[k][a];
            if (s->g[k][a] > high[k]) high[k] = s->g[k][a];
        }
        low[k] -= reach[k];
        high[k] += reach[k];
        most *= high[k] - low[k] + 1;
        s->bins[k] = reach[k] < 1 ? (int64_t)fmin(1 / reach[k], 1e6) : 1;
    }
    if (!(most < MOST)) return NO_MEMORY;
    while (s->bins[0] * s->bins[1] * s->bins[2] > s->n + 1) { /* more bins than atoms would only take time */
        int64_t *largest = s->bins;
        for (int k = 1; k < 3; k++)
            if (s->bins[k] > *largest) largest = s->bins + k;
        *largest = (*largest + 1) / 2;
    }
    int64_t bins = (s->bins[0] + 2) * (s->bins[1] + 2) * (s->bins[2] + 2), images = 0;
    s->starts = s->bin_memory = calloc((size_t)bins + 2, sizeof(int64_t));
    if (!s->starts) return NO_MEMORY;
    int64_t *next = s->starts + 1; /* next free place in each bin; equals the starts at the end */
    for (int placing = 0; placing < 2; placing++) {
        for (int64_t a = 0; a < s->n; a++) {
            int64_t m[3], from[3], to[3];
            for (int k = 0; k < 3; k++) {
                from[k] = (int64_t)ceil(low[k] - s->g[k][a]);
                to[k] = (int64_t)floor(high[k] - s->g[k][a]);
            }
            for (m[0] = from[0]; m[0] <= to[0]; m[0]++)
                for (m[1] = from[1]; m[1] <= to[1]; m[1]++)
                    for (m[2] = from[2]; m[2] <= to[2]; m[2]++) {
                        int64_t bin = 0;
                        for (int k = 0; k < 3; k++) {
                            int64_t size = s->bins[k];
                            bin = bin * (size + 2) + bin_of(s->g[k][a] + (double)m[k], size, -1, size) + 1;
                        }
                        if (!placing) {
                            next[bin + 1]++;
                            continue;
                        }
                        int64_t place = next[bin]++;
                        s->owner[place] = (int32_t)a;
                        if (!m[0] && !m[1] && !m[2]) s->self[a] = place;
                        for (int k = 0; k < 3; k++) {
                            const double *c = s->cell + k;
                            s->p[k][place] = s->w[k][a];
                            s->t[k][place] = (double)m[0] * c[0] + (double)m[1] * c[3] + (double)m[2] * c[6];
                            s->m[k][place] = (int32_t)m[k];
                        }
                    }
        }
        if (placing) break;
        for (int64_t bin = 0; bin < bins; bin++) next[bin + 1] += next[bin];
        images = next[bins];
        s->image_memory = malloc((size_t)images * (6 * sizeof(double) + 4 * sizeof(int32_t)) + 1);
        if (!s->image_memory) return NO_MEMORY;
        double *doubles = s->image_memory;
        int32_t *ints = (int32_t *)(doubles + 6 * images);
        for (int k = 0; k < 3; k++) {
            s->p[k] = doubles + k * images;
            s->t[k] = doubles + (3 + k) * images;
            s->m[k] = ints + k * images;
        }
        s->owner = ints + 3 * images;
    }
    return DONE;
}

SHARED int prepare_search(Search *s, int64_t n, const double *positions, const double *cell, double cutoff) {
    double inverse[3][3], reach[3];
    memset(s, 0, sizeof *s);
    for (int64_t k = 0; k < 3 * n; k++)
        if (!isfinite(positions[k])) return NOT_FINITE;
    for (int k = 0; k < 9; k++)
        if (!isfinite(cell[k])) return NOT_FINITE;
    s->n = n;
    s->diagonal = !(cell[1] || cell[2] || cell[3] || cell[5] || cell[6] || cell[7]);
    memcpy(s->cell, cell, sizeof s->cell);
    for (int k = 0; k < 3; k++) {
        const double *u = cell + 3 * ((k + 1) % 3), *v = cell + 3 * ((k + 2) % 3);
        for (int d = 0; d < 3; d++) inverse[d][k] = u[(d + 1) % 3] * v[(d + 2) % 3] - u[(d + 2) % 3] * v[(d + 1) % 3];
    }
    double volume = cell[0] * inverse[0][0] + cell[1] * inverse[1][0] + cell[2] * inverse[2][0];
    if (!isfinite(volume)) return NOT_FINITE;
    if (fabs(volume) < 1e-6) return NO_VOLUME;
    if (n == 0) return DONE;
    double edges = 0, steepest = 0;
    s->nearest = n <= NEAREST_MOST;
    for (int k = 0; k < 3; k++) {
        double square = 0; /* squared length of the column, which is one over the height */
        for (int d = 0; d < 3; d++) {
            inverse[d][k] /= volume;
            square += inverse[d][k] * inverse[d][k];
        }
        reach[k] = cutoff * sqrt(square) + SLACK;
        if (reach[k] > 0.5) s->nearest = 0;
        edges += fabs(cell[k]) + fabs(cell[3 + k]) + fabs(cell[6 + k]);
        steepest = fmax(steepest, sqrt(square));
    }
    if (!(edges * steepest < THINNEST)) return NO_VOLUME;
    s->atom_memory = malloc((size_t)n * (9 * sizeof(double) + 2 * sizeof(int64_t)));
    if (!s->atom_memory) return NO_MEMORY;
    double *doubles = s->atom_memory;
    for (int k = 0; k < 3; k++) {
        s->w[k] = doubles + k * n;
        s->g[k] = doubles + (3 + k) * n;
        s->moved[k] = doubles + (6 + k) * n;
    }
    s->hits = (int64_t *)(doubles + 9 * n);
    s->self = s->hits + n;
    int failed = wrap(s, positions, inverse);
    if (failed || s->nearest) return failed;
    return list_images(s, reach);
}

SHARED int64_t most_hits(const Search *s) {
    if (s->nearest || s->n == 0) return s->n;
    return s->starts[(s->bins[0] + 2) * (s->bins[1] + 2) * (s->bins[2] + 2)];
}

EXPORT int amsbench_neighbours_abi(void) { return ABI; }

/* The highest of the levels above that this processor has. */
EXPORT int amsbench_neighbours_level(void) { return highest_float_level(); }

EXPORT void amsbench_neighbours_free(Found *found) {
    if (!found) return;
    for (int64_t k = 0; found->searches && k < found->structures; k++) release_search(found->searches + k);
    free(found->searches);
    free(found->hits);
    free(found);
}

/* Searches all structures and stores the number of edges in ``edges``, and the edges in ``into`` for
 * amsbench_neighbours_fill. After a failure nothing is stored, and ``structure`` is the one that failed. */
EXPORT int amsbench_neighbours_find(int64_t level, int64_t structures, const int64_t *counts, const double *positions,
                                    const double *cells, double cutoff, Found **into, int64_t *edges,
                                    int64_t *structure) {
    Hits hits_of = hits_at(level);
    *structure = 0;
    if (!hits_of) return NO_LEVEL;
    Found *found = calloc(1, sizeof *found);
    if (!found) return NO_MEMORY;
    found->structures = structures;
    found->searches = calloc((size_t)structures + 1, sizeof(Search));
    double *squared = 0;
    int64_t used = 0, room = 0, width = 0;
    int failed = found->searches ? DONE : NO_MEMORY;
    for (int64_t k = 0; k < structures && !failed; k++) {
        Search *s = found->searches + k;
        *structure = k;
        failed = prepare_search(s, counts[k], positions, cells + 9 * k, cutoff);
        positions += 3 * counts[k];
        if (failed) break;
        int64_t most = most_hits(s);
        if (most > width) {
            free(squared);
            squared = malloc((size_t)most * sizeof(double));
            width = squared ? most : 0;
            if (!squared) failed = NO_MEMORY;
        }
        for (int64_t a = 0; a < s->n && !failed; a++) {
            if (used + most + 8 > room) {
                int64_t larger = 2 * room > used + most + 8 ? 2 * room : used + most + 8;
                int32_t *moved = realloc(found->hits, (size_t)larger * sizeof(int32_t));
                if (!moved) {
                    failed = NO_MEMORY;
                    break;
                }
                found->hits = moved;
                room = larger;
            }
            s->hits[a] = hits_of(s, a, cutoff * cutoff, squared, found->hits + used);
            used += s->hits[a];
        }
    }
    free(squared);
    if (failed) {
        amsbench_neighbours_free(found);
        return failed;
    }
    *into = found;
    *edges = used;
    return DONE;
}

/* Writes the edges of amsbench_neighbours_find, whose first atom has the index ``atom``. */
EXPORT void amsbench_neighbours_fill(Found *found, int64_t atom, int64_t *receivers, int64_t *senders, double *shifts) {
    const int32_t *hit = found->hits;
    int64_t start = 0;
    for (int64_t k = 0; k < found->structures; k++) {
        Search *s = found->searches + k;
        const double *c = s->cell;
        int64_t *next = s->self; /* not needed any more */
        for (int64_t a = 0; a < s->n; a++) {
            next[a] = start;
            start += s->hits[a];
        }
        for (int64_t a = 0; a < s->n; a++) {
            for (int64_t h = 0; h < s->hits[a]; h++, hit++) {
                double m[3];
                int64_t b = neighbour(s, a, *hit, m), place;
                for (int d = 0; d < 3; d++) m[d] += s->moved[d][a] - s->moved[d][b];
                if (s->nearest) {
                    place = next[a]++;
                    receivers[place] = atom + a;
                    senders[place] = atom + b;
                } else {
                    /* Hits are sorted by bin. Every edge has its mirror image, and those of each receiver b come in
                     * the order of their sender a, so these are written. */
                    place = next[b]++;
                    receivers[place] = atom + b;
                    senders[place] = atom + a;
                    for (int d = 0; d < 3; d++) m[d] = 0.0 - m[d];
                }
                for (int d = 0; d < 3; d++) shifts[3 * place + d] = m[0] * c[d] + m[1] * c[3 + d] + m[2] * c[6 + d];
            }
        }
        atom += s->n;
    }
}

#if defined(_WIN32)
/* the build tools of Windows require this name; the library is never imported as a module */
EXPORT void *PyInit__neighbours(void) { return 0; }
#endif
