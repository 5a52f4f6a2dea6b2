/* Gradients of a layer for one LEVEL (see edge_kernel_body.h). */

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
        /* gradient of (out, direction), repeated for all columns of phi that it multiplies */
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

/* Gradients of the nodes from that of the first layer, which is kept in DPRE for the gradients of the weights. */
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
    for (int e = 0; in > 1 && e < BLOCK; e++) ST8(s->INV + 8 * e, LD8(s->DINV + 16 * e)); /* INV now holds the gradients */
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
