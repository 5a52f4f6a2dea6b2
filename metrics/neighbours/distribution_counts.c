/* Histograms of distances and bond angles, from which g(r) and P(theta) are computed (see neighbour_list.py). */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "neighbours.h"

/* Neighbours of each atom in shells ((k - 1), k] r_max / shells [s, shells], and angles between each two neighbours
 * closer than r_cut in bins of 180 / bins degrees [s, bins]; both zero on entry. Returns DONE or a failure, and
 * in ``structure`` the one that it is about. */
EXPORT int amsbench_neighbours_curves(int64_t level, int64_t structures, const int64_t *counts, const double *positions,
                                      const double *cells, double r_max, int64_t shells, double r_cut, int64_t bins,
                                      int64_t *radial, int64_t *angular, int64_t *structure) {
    Hits hits_of = hits_at(level);
    const double cutoff = r_max > r_cut ? r_max : r_cut, width = r_max / (double)shells;
    const double degrees = 180.0 / 3.14159265358979323846, scale = (double)bins / 180.0;
    double *memory = 0;
    int64_t room = 0;
    int failed = hits_of ? DONE : NO_LEVEL;
    *structure = 0;
    for (int64_t k = 0; k < structures && !failed; k++, radial += shells, angular += bins) {
        Search s;
        *structure = k;
        failed = prepare_search(&s, counts[k], positions, cells + 9 * k, cutoff);
        positions += 3 * counts[k];
        int64_t most = failed ? 0 : most_hits(&s) + 8;
        if (most > room) {
            free(memory);
            memory = malloc((size_t)most * (4 * sizeof(double) + sizeof(int32_t)));
            room = memory ? most : 0;
            if (!memory) failed = NO_MEMORY;
        }
        double *squared = memory, *legs = memory + room;
        int32_t *hits = (int32_t *)(memory + 4 * room);
        for (int64_t a = 0; a < s.n && !failed; a++) {
            int64_t found = hits_of(&s, a, cutoff * cutoff, squared, hits), near = 0;
            for (int64_t h = 0; h < found; h++) {
                double m[3], d[3];
                const double *c = s.cell;
                int64_t b = neighbour(&s, a, hits[h], m);
                for (int e = 0; e < 3; e++)
                    d[e] = s.w[e][a] - s.w[e][b] - (m[0] * c[e] + m[1] * c[3 + e] + m[2] * c[6 + e]);
                double distance = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
                if (shells) {
                    double ratio = distance / width;
                    int64_t shell = (int64_t)ratio; /* from here upwards, without the call of ceil */
                    shell += (double)shell < ratio;
                    if (shell >= 1 && shell <= shells) radial[shell - 1]++;
                }
                if (distance < r_cut && distance > 0) { /* an angle with a leg of no length is not defined */
                    for (int e = 0; e < 3; e++) legs[3 * near + e] = d[e] / distance;
                    near++;
                }
            }
            for (int64_t h = 0; h < near && bins; h++) {
                const double *u = legs + 3 * h;
                for (int64_t l = h + 1; l < near; l++) {
                    const double *v = legs + 3 * l;
                    double cosine = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
                    double theta = acos(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine) * degrees;
                    int64_t bin = (int64_t)(theta * scale);
                    angular[bin < bins ? bin : bins - 1]++;
                }
            }
        }
        release_search(&s);
    }
    free(memory);
    return failed;
}
