/* Gradients of a layer for one LEVEL (see edge_kernel_body.h).
 *
 * With g [out, 3], the gradient of the displacements of a receiver, the loss depends on the edges through the sum over
 * components of (G + bias) times moments, G = g W [lanes, h]. Phi and its gradient are therefore never computed. */

/* For a receiver: G as it is and transposed (GT [h, lanes]), and the bias GB [lanes]. */
INLINE void FN(receiver_gradients)(Space *s, const Args *a, const int in) {
    const int h = s->h, length = in * h, out = (int)a->lanes_out;
    const float *g = a->grad_out_x + s->node * out * 3;
    for (int k = 0; k < 3; k++)
        for (int n = 0; n < in; n++) {
            float sum = 0;
            for (int l = 0; l < out; l++) sum += g[3 * l + k] * a->shift_b[l * in + n];
            s->GB[k * in + n] = sum;
        }
    for (int f = 0; f < length; f += 2 * VW) {
        vec c[3][2] = {{ZERO, ZERO}, {ZERO, ZERO}, {ZERO, ZERO}};
        for (int l = 0; l < out; l++) {
            vec w0 = LD(a->shift_w + (int64_t)l * length + f), w1 = LD(a->shift_w + (int64_t)l * length + f + VW);
            for (int k = 0; k < 3; k++) {
                c[k][0] += g[3 * l + k] * w0;
                c[k][1] += g[3 * l + k] * w1;
            }
        }
        for (int k = 0; k < 3; k++) {
            ST(s->G + k * length + f, c[k][0]);
            ST(s->G + k * length + f + VW, c[k][1]);
        }
    }
    if (!a->need_x) return;
    for (int f = 0; f < h; f++)
        if (in == 1)
            for (int k = 0; k < 3; k++) s->GT[f * GT_ROW + k] = s->G[k * h + f];
        else {
            v8 x = {0}, y = {0}, z = {0};
            for (int l = 0; l < out; l++) {
                v8 w = LD8(s->shift_t + (l * h + f) * 8);
                x += g[3 * l] * w;
                y += g[3 * l + 1] * w;
                z += g[3 * l + 2] * w;
            }
            ST8(s->GT + f * GT_ROW, x);
            ST8(s->GT + f * GT_ROW + 8, y);
            ST8(s->GT + f * GT_ROW + 16, z);
        }
}

/* Gradients of the weights of Phi from the moments of a receiver. */
INLINE void FN(receiver_weights)(Space *s, const Args *a, const int in) {
    const int length = in * s->h;
    for (int l = 0; l < a->lanes_out; l++) {
        const float *g = a->grad_out_x + (s->node * a->lanes_out + l) * 3;
        float *w = a->grad_shift_w + (int64_t)l * length;
        for (int f = 0; f < length; f += VW)
            ST(w + f, LD(w + f) + (g[0] * LD(s->M + f) + g[1] * LD(s->M + length + f) + g[2] * LD(s->M + 2 * length + f)));
        for (int n = 0; n < in; n++)
            a->grad_shift_b[l * in + n] += g[0] * s->S[n] + g[1] * s->S[in + n] + g[2] * s->S[2 * in + n];
    }
}

/* Gradients of m, of the gate and of the message layer: dz into DZ. */
INLINE void FN(message_back)(Space *s, const Args *a) {
    const int h = s->h;
    const float *g = a->grad_out_h + s->node * h;
    for (int e = 0; e < s->count; e++) {
        vec gate = ZERO, dot = ZERO;
        for (int f = 0; f < h; f += 2 * VW) {
            vec m = LD(s->Z + e * h + f), n = LD(s->Z + e * h + f + VW), sm = m, sn = n;
            FN(sigmoids)(&sm, &sn);
            m *= sm;
            n *= sn;
            ST(s->Z + e * h + f, m);
            ST(s->Z + e * h + f + VW, n);
            ST(s->SLOPE_Z + e * h + f, sm + m * (1.0f - sm));
            ST(s->SLOPE_Z + e * h + f + VW, sn + n * (1.0f - sn));
            gate += m * LD(a->gate_w + f) + n * LD(a->gate_w + f + VW);
            dot += m * LD(g + f) + n * LD(g + f + VW);
        }
        s->gate[e] = FN(hsum)(gate);
        s->dot[e] = FN(hsum)(dot);
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
        vec g0 = LD(g + f), g1 = LD(g + f + VW);
        for (int e = 0; e < s->count; e++) {
            const float ac = s->gate[e], dg = s->dot[e];
            d0 += dg * LD(s->Z + e * h + f);
            d1 += dg * LD(s->Z + e * h + f + VW);
            vec z0 = (g0 * ac + w0 * dg) * LD(s->SLOPE_Z + e * h + f);
            vec z1 = (g1 * ac + w1 * dg) * LD(s->SLOPE_Z + e * h + f + VW);
            b0 += z0;
            b1 += z1;
            FN(put)(s->DZ + e * h + f, z0, z1);
        }
        ST(a->grad_message_b + f, b0);
        ST(a->grad_message_b + f + VW, b1);
        ST(a->grad_gate_w + f, d0);
        ST(a->grad_gate_w + f + VW, d1);
    }
    if (s->rows > s->count) memset(s->DZ + s->count * h, 0, sizeof(act_t) * h);
}

/* Gradients of the nodes from that of the first layer, which is kept in DPRE for the gradients of the weights. */
INLINE void FN(first_layer_back)(Space *s, const Args *a) {
    const int h2 = 2 * s->h;
    FN(product_act)(s->DZ, s->rows, s->message_t, 0, s->DPRE, h2, s->h, s->h);
    FN(product_of_rows)(s->DIR, s->lanes, s->rows, s->G, s->h, 0, s->DPRE + s->h, h2, s->h, s->lanes);
    float *gi = a->grad_receiver + s->node * h2;
    for (int f = 0; f < h2; f += 4 * VW) {
        vec c[4];
        for (int j = 0; j < 4; j++) c[j] = LD(gi + f + j * VW);
        for (int e = 0; e < s->count; e++) {
            float *gj = a->grad_sender + (a->senders[s->edge + e] - a->base) * h2 + f, *row = s->DPRE + e * h2 + f;
            for (int j = 0; j < 4; j++) {
                vec d = LD(row + j * VW) * LD(s->SLOPE + e * h2 + f + j * VW);
                ST(row + j * VW, d);
                c[j] += d;
                ST(gj + j * VW, LD(gj + j * VW) + d);
            }
        }
        for (int j = 0; j < 4; j++) ST(gi + f + j * VW, c[j]);
    }
}

/* Gradients of the positions: through the directions (DROW) and through the invariants (DINV). */
INLINE void FN(geometry_back)(Space *s, const Args *a, const int in) {
    const int plane = BLOCK * in, lanes = (s->lanes + VW - 1) / VW * VW;
    const float scale = (float)(4 / (a->cutoff * a->cutoff));
    FN(product_of_rows)(s->ACTX, s->h, s->rows, s->GT, GT_ROW, s->GB, s->DROW, GT_ROW, lanes, s->h);
    if (in > 1) FN(narrow_product)(s->DPRE, 2 * s->h, s->rows, s->invariant_t, s->DINV);
    for (int e = 0; e < s->count; e++) {
        for (int k = 0; k < 3; k++)
            if (in == 1)
                s->DD[k * plane + e] = s->DROW[e * GT_ROW + k];
            else
                ST8(s->DD + k * plane + 8 * e, LD8(s->DROW + e * GT_ROW + 8 * k));
        if (in > 1) ST8(s->INV + 8 * e, LD8(s->DINV + 8 * e)); /* INV now holds the gradients */
    }
    for (int v = 0; v < s->count * in; v += VW) {
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
    float *gi = a->grad_x + (s->node - a->base) * 3 * in;
    for (int e = 0; e < s->count; e++) {
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

INLINE void FN(weights_back)(Space *s, const int in) {
    const int h2 = 2 * s->h;
    FN(outer_act)(s->ACT, s->DZ, s->sum_message, s->h, s->rows, s->pairs);
    if (in > 1) FN(outer)(s->COEFFICIENTS + 8, 16, s->DPRE, h2, s->sum_invariant, 8, h2, s->count);
    for (int e = 0; e < s->count; e++) {
        const float *factor = s->COEFFICIENTS + 16 * e, *row = s->DPRE + e * h2;
        float *sum = s->sum_radial + s->START[e] * h2;
        for (int f = 0; f < h2; f += 4 * VW) {
            vec d[4];
            for (int j = 0; j < 4; j++) d[j] = LD(row + f + j * VW);
            for (int k = 0; k < SUPPORT; k++) {
                float *at = sum + k * h2 + f;
                for (int j = 0; j < 4; j++) ST(at + j * VW, LD(at + j * VW) + factor[k] * d[j]);
            }
        }
    }
}

static void FN(weights_out)(Space *s, const Args *a) {
    const int h = s->h, radial = s->radial, used = radial + (s->in > 1 ? 8 : 0);
    for (int n = 0; n < 2 * h; n++)
        for (int k = 0; k < used; k++)
            a->grad_edge_w[n * used + k] =
                k < radial ? s->sum_radial[k * 2 * h + n] : s->sum_invariant[(k - radial) * 2 * h + n];
    for (int n = 0; n < h; n++)
        for (int k = 0; k < h; k++) a->grad_message_w[n * h + k] = s->sum_message[k * h + n];
}

INLINE void FN(backward_block)(Space *s, const Args *a, const int in) {
    FN(geometry)(s, a, in);
    FN(layers)(s, a, in, 1);
    FN(message_back)(s, a);
    FN(first_layer_back)(s, a);
    if (a->need_x) FN(geometry_back)(s, a, in);
    FN(weights_back)(s, in);
}

static int FN(edges_backward)(const Args *a) {
    Space s;
    int failed = FN(prepare)(&s, a, 1);
    if (failed) return failed;
    FN(tiles_begin)();
    for (int64_t edge = a->edge_start; edge < a->edge_stop && !failed;) {
        int64_t left = FN(next_receiver)(&s, a, edge);
        failed = !left;
        if (failed) break;
        if (s.in == 1)
            FN(receiver_gradients)(&s, a, 1);
        else
            FN(receiver_gradients)(&s, a, 8);
        for (; left; left -= s.count, edge += s.count) {
            failed = FN(next_block)(&s, a, edge, left);
            if (failed) break;
            if (s.in == 1)
                FN(backward_block)(&s, a, 1);
            else
                FN(backward_block)(&s, a, 8);
        }
        if (failed) break;
        if (s.in == 1)
            FN(receiver_weights)(&s, a, 1);
        else
            FN(receiver_weights)(&s, a, 8);
    }
    FN(tiles_end)();
    FN(weights_out)(&s, a);
    free(s.space);
    return failed;
}
