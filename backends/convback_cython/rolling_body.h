/* Rows of one plane, with vectors along the row, for one type REAL. Included by microkernel_body.h.

   Column c of output row i is a sum over K input rows, and over a list of points (one for each tap along the other axes):

       column[c][i][j] = sum over k < K, p of  in[(i + k) * in_step + at[p] + j] * weights[p * K + k]

   where points[c] <= p < points[c + 1], and weights begin at points[0]. With one column, an output row is its 1, 2, 4 or 8
   vectors; with two, the vectors of both, interleaved.

   Input rows are read once, from top to bottom. Each goes into the K output rows that it belongs to, which are held in
   registers and roll on by one: what K output rows have in common is loaded once. */

/* The products of one point: into the vectors of every output row from the first on, `vecs` of them. Either the inputs
   or the weights, whichever are fewer, are held in registers, and the others come one by one. */
INLINE void NAME(add_point)(const int K, const int first, const int vecs, const REAL *in, const REAL *weights,
                            NAME(vector) acc[ROLLED][STRIP_VECS])
{
    NAME(vector) held[ROLLED];
    if (vecs > K) {
        UNROLLED for (int k = 0; k < K; k++) {
            held[k] = weights[k] - (NAME(vector)){0};
            HOLD(held[k]);
        }
        UNROLLED for (int v = 0; v < vecs; v++) {
            NAME(vector) x = NAME(load)(in + v * LANES);
            if (K > 1)
                HOLD(x);
            UNROLLED for (int k = 0; k < K; k++)
                acc[k][first + v] += x * held[k];
        }
        return;
    }
    UNROLLED for (int v = 0; v < vecs; v++) {
        held[v] = NAME(load)(in + v * LANES);
        HOLD(held[v]);
    }
    UNROLLED for (int k = 0; k < K; k++) {
        NAME(vector) weight = weights[k] - (NAME(vector)){0};
        HOLD(weight);
        UNROLLED for (int v = 0; v < vecs; v++)
            acc[k][first + v] += held[v] * weight;
    }
}

INLINE void NAME(roll)(const int K, const int vecs, const int columns, const REAL *in, ptrdiff_t in_step,
                       const ptrdiff_t *at, const ptrdiff_t *points, const REAL *weights, ptrdiff_t rows, REAL *out,
                       ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(vector) acc[ROLLED][STRIP_VECS];
    UNROLLED for (int k = 0; k < K; k++)
        for (int v = 0; v < vecs; v++)
            acc[k][v] = (NAME(vector)){0};
    weights -= points[0] * K;
    for (ptrdiff_t r = 0; r < rows + K - 1; r++, in += in_step) {
        UNROLLED for (int c = 0; c < columns; c++)
            for (ptrdiff_t p = points[c]; p < points[c + 1]; p++)
                NAME(add_point)(K, c, vecs - (columns - 1), in + at[p], weights + p * K, acc);
        if (r >= K - 1) {
            if (columns > 1) {
                NAME(vector) low = SHUFFLE(acc[K - 1][0], acc[K - 1][1], LOW);
                acc[K - 1][1] = SHUFFLE(acc[K - 1][0], acc[K - 1][1], HIGH);
                acc[K - 1][0] = low;
            }
            for (int v = 0; v < vecs; v++)
                NAME(store_part)(out + v * LANES, acc[K - 1][v], count - v * LANES);
            out += out_step;
        }
        UNROLLED for (int k = K - 1; k > 0; k--)
            for (int v = 0; v < vecs; v++)
                acc[k][v] = acc[k - 1][v];
        for (int v = 0; v < vecs; v++)
            acc[0][v] = (NAME(vector)){0};
    }
}

#define ROLL(K, vecs, columns)                                                                                         \
    static void NAME(roll_##K##_##vecs##_##columns)(                                                                   \
        const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at, const ptrdiff_t *points, const REAL *weights,          \
        ptrdiff_t rows, REAL *out, ptrdiff_t out_step, ptrdiff_t count)                                                \
    {                                                                                                                  \
        NAME(roll)(K, vecs, columns, in, in_step, at, points, weights, rows, out, out_step, count);                    \
    }
#define NARROW(K) ROLL(K, 1, 1) ROLL(K, 2, 1) ROLL(K, 2, 2)
#define WIDE(K) NARROW(K) ROLL(K, 4, 1)
WIDE(1) ROLL(1, 8, 1) WIDE(2) WIDE(3) NARROW(4) NARROW(5) NARROW(6) NARROW(7)

typedef void NAME(roll_function)(const REAL *, ptrdiff_t, const ptrdiff_t *, const ptrdiff_t *, const REAL *, ptrdiff_t,
                                 REAL *, ptrdiff_t, ptrdiff_t);
#define NARROW_ROW(K) NAME(roll_##K##_2_2), NAME(roll_##K##_1_1), NAME(roll_##K##_2_1)
#define WIDE_ROW(K) NARROW_ROW(K), NAME(roll_##K##_4_1)
static NAME(roll_function) *const NAME(rolls)[ROLLED][5] = {
    {WIDE_ROW(1), NAME(roll_1_8_1)}, {WIDE_ROW(2)}, {WIDE_ROW(3)}, {NARROW_ROW(4)}, {NARROW_ROW(5)}, {NARROW_ROW(6)},
    {NARROW_ROW(7)},
};

/* `count` outputs of a row are written, at most those of the vectors, which are `most_vecs(K)` at most. */
static inline void NAME(roll_rows)(int K, int vecs, int columns, const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at,
                                   const ptrdiff_t *points, const REAL *weights, ptrdiff_t rows, REAL *out,
                                   ptrdiff_t out_step, ptrdiff_t count)
{
    int form = columns > 1 ? 0 : 1 + __builtin_ctz(vecs);
    NAME(rolls)[K - 1][form](in, in_step, at, points, weights, rows, out, out_step, count);
}

#undef ROLL
#undef NARROW
#undef WIDE
#undef NARROW_ROW
#undef WIDE_ROW
