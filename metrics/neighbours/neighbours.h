/* A structure that is ready to be searched for neighbours: shared by neighbours.c and distribution_counts.c. */
#ifndef AMSBENCH_NEIGHBOURS_H
#define AMSBENCH_NEIGHBOURS_H

#include <stdint.h>

#include "../../native_levels.h"

/* to the nearest integer, ties to even, in a form that every compiler vectorises; |x| < 2^51 */
#define ROUND(x) (((x) + 6755399441055744.0) - 6755399441055744.0)

#define DONE 0
#define NOT_FINITE 1
#define NO_VOLUME 2
#define NO_MEMORY 3
#define NO_LEVEL 4

typedef struct {
    int64_t n;
    int nearest;    /* only the nearest image of an atom can be within the cutoff; no images are listed */
    int diagonal;   /* the cell is diagonal */
    double cell[9]; /* rows are lattice vectors */
    double *w[3];   /* [n], wrapped positions: x - moved @ cell */
    double *g[3];   /* [n], the same in fractions of the cell */
    double *moved[3];
    int64_t *hits;  /* [n], hits of each atom */
    int64_t *self;  /* [n], the place of the atom itself among the images */
    int64_t bins[3], *starts; /* bins inside the cell; starts of all of them, one more on each side, among images */
    double *p[3], *t[3];      /* [images], wrapped position and shift, whose sum is the image */
    int32_t *owner, *m[3];    /* [images], atom and cell of each image */
    void *atom_memory, *image_memory, *bin_memory;
} Search;

/* Writes the hits of an atom, indices of atoms or of images, and returns how many; ``squared``, for its own use, has
 * room for most_hits, ``out`` for 8 more. */
typedef int64_t (*Hits)(const Search *, int64_t atom, double squared_cutoff, double *squared, int32_t *out);

/* The search for a level of neighbours.c, 0 where this processor does not have it. */
SHARED Hits hits_at(int64_t level);

/* Prepares the search of n atoms and returns DONE or a failure; release_search frees the memory in both cases. */
SHARED int prepare_search(Search *s, int64_t n, const double *positions, const double *cell, double cutoff);
SHARED void release_search(Search *s);

/* The most hits that an atom can have. */
SHARED int64_t most_hits(const Search *s);

/* The atom of a hit of atom a, and its image m relative to the wrapped atoms. */
INLINE int64_t neighbour(const Search *s, int64_t a, int32_t hit, double m[3]) {
    if (s->nearest) {
        for (int k = 0; k < 3; k++) m[k] = ROUND(s->g[k][a] - s->g[k][hit]);
        return hit;
    }
    for (int k = 0; k < 3; k++) m[k] = s->m[k][hit];
    return s->owner[hit];
}

#endif
