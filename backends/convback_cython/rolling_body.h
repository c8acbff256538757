/* Rows of a plane, with vectors along the row, for one type REAL. Included by microkernel_body.h.

   Column c of output row i is a sum over turns of K taps or fewer along the second axis, and in each over a list of points
   (one for each channel that is summed, and tap along the other axes):

       column[c][i][j] = sum over turns, points p, k < taps of  in[(i + k) * in_step + at[p] + j] * weights[p][k]

   With one column, an output row is its vectors; with two, the vectors of both, interleaved.

   Input rows are read from top to bottom. Each goes into the K output rows that it belongs to, which are held in registers
   and roll on by one: what K output rows have in common is loaded once. Rows of padding are left out. */

/* The products of one point: into the vectors of so many output rows, from the first vector on. Either the inputs or the
   weights, whichever are fewer, are held in registers, and the others come one by one. */
INLINE void NAME(add_point)(const int taps, const int first, const int vecs, const REAL *in, const REAL *weights,
                            NAME(vector) acc[ROLLED][STRIP_VECS])
{
    NAME(vector) held[STRIP_VECS];
    KEEP(in);
    if (vecs > taps) {
        UNROLLED for (int k = 0; k < taps; k++) {
            held[k] = weights[k] - (NAME(vector)){0};
            HOLD(held[k]);
        }
        UNROLLED for (int v = 0; v < vecs; v++) {
            NAME(vector) x = NAME(load)(in + v * LANES);
            if (taps > 1)
                HOLD(x);
            UNROLLED for (int k = 0; k < taps; k++)
                acc[k][first + v] += x * held[k];
        }
        return;
    }
    UNROLLED for (int v = 0; v < vecs; v++) {
        held[v] = NAME(load)(in + v * LANES);
        HOLD(held[v]);
    }
    UNROLLED for (int k = 0; k < taps; k++) {
        NAME(vector) weight = weights[k] - (NAME(vector)){0};
        HOLD(weight);
        UNROLLED for (int v = 0; v < vecs; v++)
            acc[k][first + v] += held[v] * weight;
    }
}

/* The first `count` numbers of a row, `next` apart. */
static __attribute__((noinline)) void NAME(store_spread)(const REAL *row, ptrdiff_t count, REAL *to, ptrdiff_t next)
{
    for (ptrdiff_t i = 0; i < count; i++)
        to[i * next] = row[i];
}

/* The products of one input row and all points of a turn. */
INLINE void NAME(add_row)(const int taps, const int first, const int vecs, const turn *now, const REAL *in,
                          const REAL *weights, NAME(vector) acc[ROLLED][STRIP_VECS])
{
    const ptrdiff_t *last = now->last;
    weights += now->weight;
    for (const ptrdiff_t *at = now->at; at < last; at++, weights += taps)
        NAME(add_point)(taps, first, vecs, in + *at, weights, acc);
}

/* Numbers of the first half of the vectors, and of the second, in turn. */
INLINE void NAME(interleave_halves)(const int vecs, NAME(vector) row[STRIP_VECS])
{
    NAME(vector) pairs[STRIP_VECS];
    UNROLLED for (int v = 0; v < vecs / 2; v++) {
        pairs[2 * v] = SHUFFLE(row[v], row[vecs / 2 + v], LOW);
        pairs[2 * v + 1] = SHUFFLE(row[v], row[vecs / 2 + v], HIGH);
    }
    UNROLLED for (int v = 0; v < vecs; v++)
        row[v] = pairs[v];
}

/* With `single`, each column has one turn, of K taps, and all begin and end with the same row. */
INLINE void NAME(roll)(const int single, const int K, const int vecs, const int columns, const rolled *plan,
                       const REAL *in, const REAL *weights, REAL *out, ptrdiff_t count)
{
    NAME(vector) acc[ROLLED][STRIP_VECS];
    UNROLLED for (int k = 0; k < K; k++)
        for (int v = 0; v < vecs; v++)
            acc[k][v] = (NAME(vector)){0};
    /* Copies, as what is stored could change the originals for all that the compiler knows. */
    const rolled all = *plan;
    const turn only[2] = {*all.turns[0], *all.turns[columns - 1]};
    for (ptrdiff_t r = 0; r < all.rows + K - 1; r++, in += all.in_step) {
        if (!single)
            for (const turn *t = all.turns[0]; t < all.turns[1]; t++) {
                if (r >= t->first && r < t->end)
                    UNROLLED for (int taps = K; taps > 0; taps--)
                        if (t->taps == taps)
                            NAME(add_row)(taps, 0, vecs, t, in, weights, acc);
            }
        else if (r >= only[0].first && r < only[0].end)
            UNROLLED for (int c = 0; c < columns; c++)
                NAME(add_row)(K, c * vecs / columns, vecs / columns, &only[c], in, weights, acc);
        if (r >= K - 1) {
            if (columns > 1)
                NAME(interleave_halves)(vecs, acc[K - 1]);
            if (all.out_next > 1) {
                REAL row[STRIP_VECS * LANES];
                UNROLLED for (int v = 0; v < vecs; v++)
                    NAME(store)(row + v * LANES, acc[K - 1][v]);
                NAME(store_spread)(row, count, out, all.out_next);
            } else if (count >= vecs * LANES)
                UNROLLED for (int v = 0; v < vecs; v++)
                    NAME(store)(out + v * LANES, acc[K - 1][v]);
            else
                UNROLLED for (int v = 0; v < vecs; v++)
                    NAME(store_part)(out + v * LANES, acc[K - 1][v], count - v * LANES);
            out += all.out_step;
        }
        UNROLLED for (int k = K - 1; k > 0; k--)
            for (int v = 0; v < vecs; v++)
                acc[k][v] = acc[k - 1][v];
        for (int v = 0; v < vecs; v++)
            acc[0][v] = (NAME(vector)){0};
    }
}

#define ROLL(single, K, vecs, columns)                                                                                 \
    static void NAME(roll_##single##_##K##_##vecs##_##columns)(const rolled *plan, const REAL *in,                     \
                                                               const REAL *weights, REAL *out, ptrdiff_t count)        \
    {                                                                                                                  \
        NAME(roll)(single, K, vecs, columns, plan, in, weights, out, count);                                           \
    }
#define ALL(K)                                                                                                         \
    ROLL(0, K, 1, 1) ROLL(0, K, 2, 1) ROLL(0, K, 3, 1) ROLL(0, K, 4, 1)                                                \
    ROLL(1, K, 1, 1) ROLL(1, K, 2, 1) ROLL(1, K, 3, 1) ROLL(1, K, 4, 1)                                                \
    ROLL(1, K, 2, 2) ROLL(1, K, 4, 2)
ALL(1) ALL(2) ALL(3) ALL(4) ROLL(0, 1, 8, 1) ROLL(1, 1, 8, 1)

/* With one column, and several turns or one, and with two columns. Of the most rows strip_vecs gives no strip of 4. */
#define TURNS(K) [1] = NAME(roll_0_##K##_1_1), [2] = NAME(roll_0_##K##_2_1), [3] = NAME(roll_0_##K##_3_1),             \
                 [4] = NAME(roll_0_##K##_4_1)
#define TURN(K) [1] = NAME(roll_1_##K##_1_1), [2] = NAME(roll_1_##K##_2_1), [3] = NAME(roll_1_##K##_3_1),              \
                [4] = NAME(roll_1_##K##_4_1)
#define BOTH(K) [2] = NAME(roll_1_##K##_2_2), [4] = NAME(roll_1_##K##_4_2)
#if ROLLED > 4
ALL(5) ALL(6) ALL(7)
#define MORE(of) {of(5)}, {of(6)}, {of(7)}
#else
#define MORE(of)
#endif
typedef void NAME(roll_function)(const rolled *, const REAL *, const REAL *, REAL *, ptrdiff_t);
static NAME(roll_function) *const NAME(rolls)[3][ROLLED][STRIP_VECS + 1] = {
    {{TURNS(1), [8] = NAME(roll_0_1_8_1)}, {TURNS(2)}, {TURNS(3)}, {TURNS(4)}, MORE(TURNS)},
    {{TURN(1), [8] = NAME(roll_1_1_8_1)}, {TURN(2)}, {TURN(3)}, {TURN(4)}, MORE(TURN)},
    {{BOTH(1)}, {BOTH(2)}, {BOTH(3)}, {BOTH(4)}, MORE(BOTH)},
};

/* `count` outputs of a row are written, at most those of the vectors. */
static inline void NAME(roll_rows)(int K, int vecs, int columns, const rolled *plan, const REAL *in,
                                   const REAL *weights, REAL *out, ptrdiff_t count)
{
    int single = plan->turns[1] - plan->turns[0] == 1 && plan->turns[0]->taps == K;
    NAME(rolls)[columns > 1 ? 2 : single][K - 1][vecs](plan, in, weights, out, count);
}

#undef ROLL
#undef ALL
#undef TURNS
#undef TURN
#undef BOTH
#undef MORE
