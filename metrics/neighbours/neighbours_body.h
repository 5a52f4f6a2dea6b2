/* The searches of neighbours.c that run over many atoms at once, compiled once for each instruction set. */

/* Positions of the values below limit, plus base; out has room for seven more than there can be. */
INLINE int64_t FN(select_below)(const double *restrict values, int64_t count, double limit, int64_t base,
                                int32_t *restrict out) {
    int64_t found = 0, k = 0;
#if LEVEL == AVX512
    __m256i index = _mm256_add_epi32(_mm256_set1_epi32((int32_t)base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    for (; k + 8 <= count; k += 8) {
        __mmask8 below = _mm512_cmp_pd_mask(_mm512_loadu_pd(values + k), _mm512_set1_pd(limit), _CMP_LT_OQ);
        _mm256_storeu_si256((__m256i *)(out + found), _mm256_maskz_compress_epi32(below, index));
        found += __builtin_popcount(below);
        index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
    }
#endif
    for (; k < count; k++) {
        out[found] = (int32_t)(base + k);
        found += values[k] < limit;
    }
    return found;
}

/* Squared distances from atom a to the nearest image of every atom. */
INLINE void FN(nearest)(const Search *s, int64_t a, int diagonal, double *restrict squared) {
    const double *restrict x = s->w[0], *restrict y = s->w[1], *restrict z = s->w[2];
    const double *restrict f = s->g[0], *restrict g = s->g[1], *restrict h = s->g[2];
    const double *c = s->cell;
    const double c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3], c4 = c[4], c5 = c[5], c6 = c[6], c7 = c[7], c8 = c[8];
    const double xa = x[a], ya = y[a], za = z[a], fa = f[a], ga = g[a], ha = h[a];
    for (int64_t j = 0; j < s->n; j++) {
        double u = ROUND(fa - f[j]), v = ROUND(ga - g[j]), w = ROUND(ha - h[j]);
        double dx, dy, dz;
        if (diagonal) {
            dx = xa - x[j] - u * c0;
            dy = ya - y[j] - v * c4;
            dz = za - z[j] - w * c8;
        } else {
            dx = xa - x[j] - (u * c0 + v * c3 + w * c6);
            dy = ya - y[j] - (u * c1 + v * c4 + w * c7);
            dz = za - z[j] - (u * c2 + v * c5 + w * c8);
        }
        squared[j] = dx * dx + dy * dy + dz * dz;
    }
}

/* Squared distances from atom a to the images first .. last - 1. */
INLINE void FN(listed)(const Search *s, int64_t a, int64_t first, int64_t last, double *restrict squared) {
    const double *restrict x = s->p[0] + first, *restrict y = s->p[1] + first, *restrict z = s->p[2] + first;
    const double *restrict u = s->t[0] + first, *restrict v = s->t[1] + first, *restrict w = s->t[2] + first;
    const double xa = s->w[0][a], ya = s->w[1][a], za = s->w[2][a];
    for (int64_t k = 0; k < last - first; k++) {
        /* not xa - (x + u): this order makes i-j and j-i equal to the last bit */
        double dx = xa - x[k] - u[k], dy = ya - y[k] - v[k], dz = za - z[k] - w[k];
        squared[k] = dx * dx + dy * dy + dz * dz;
    }
}

/* The hits of atom a: indices of atoms (nearest image) or of images; returns how many. */
static int64_t FN(hits)(const Search *s, int64_t a, double limit, double *squared, int32_t *out) {
    if (s->nearest) {
        if (s->diagonal) FN(nearest)(s, a, 1, squared);
        else FN(nearest)(s, a, 0, squared);
        squared[a] = INFINITY; /* an atom is no neighbour of itself, but of an atom at the same point */
        return FN(select_below)(squared, s->n, limit, 0, out);
    }
    int64_t found = 0, self = s->self[a], corner[3];
    for (int k = 0; k < 3; k++) corner[k] = bin_of(s->g[k][a], s->bins[k], 0, s->bins[k] - 1);
    for (int64_t i = corner[0]; i < corner[0] + 3; i++) {
        for (int64_t j = corner[1]; j < corner[1] + 3; j++) {
            int64_t row = (i * (s->bins[1] + 2) + j) * (s->bins[2] + 2) + corner[2];
            int64_t first = s->starts[row], last = s->starts[row + 3];
            FN(listed)(s, a, first, last, squared);
            if (self >= first && self < last) squared[self - first] = INFINITY;
            found += FN(select_below)(squared, last - first, limit, first, out + found);
        }
    }
    return found;
}
