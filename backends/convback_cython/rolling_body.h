/* Rows of one plane, with vectors along the row, for one type REAL. Included by microkernel_body.h.

   Column c of output row i is a sum over K input rows, and over a list of points (one for each tap along the other axes):

       column[c][i][j] = sum over k < K, p of  in[(i + k) * in_step + at[p] + j] * weights[p * K + k]

   where points[c] <= p < points[c + 1], and weights begin at points[0]. With one column, an output row is its one or two
   vectors; with two, the vectors of both, interleaved.

   Input rows are read once, from top to bottom. Each goes into the K output rows that it belongs to, which are held in
   registers and roll on by one: what K output rows have in common is loaded once. */

INLINE void NAME(roll)(const int K, const int vecs, const int columns, const REAL *in, ptrdiff_t in_step,
                       const ptrdiff_t *at, const ptrdiff_t *points, const REAL *weights, ptrdiff_t rows, REAL *out,
                       ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(vector) acc[ROLLED][2];
    UNROLLED for (int k = 0; k < K; k++)
        for (int v = 0; v < vecs; v++)
            acc[k][v] = (NAME(vector)){0};
    weights -= points[0] * K;
    for (ptrdiff_t r = 0; r < rows + K - 1; r++, in += in_step) {
        UNROLLED for (int c = 0; c < columns; c++)
            for (ptrdiff_t p = points[c]; p < points[c + 1]; p++)
                UNROLLED for (int v = c; v < vecs - (columns - 1 - c); v++) {
                    NAME(vector) x = NAME(load)(in + at[p] + (v - c) * LANES);
                    HOLD(x);
                    UNROLLED for (int k = 0; k < K; k++)
                        acc[k][v] += x * weights[p * K + k];
                }
        if (r >= K - 1) {
            NAME(vector) first = acc[K - 1][0], second = acc[K - 1][1];
            if (columns > 1) {
                first = SHUFFLE(acc[K - 1][0], acc[K - 1][1], LOW);
                second = SHUFFLE(acc[K - 1][0], acc[K - 1][1], HIGH);
            }
            NAME(store_part)(out, first, count);
            if (vecs > 1)
                NAME(store_part)(out + LANES, second, count - LANES);
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
#define ALL(K) ROLL(K, 1, 1) ROLL(K, 2, 1) ROLL(K, 2, 2)
ALL(1) ALL(2) ALL(3) ALL(4) ALL(5) ALL(6) ALL(7)

typedef void NAME(roll_function)(const REAL *, ptrdiff_t, const ptrdiff_t *, const ptrdiff_t *, const REAL *, ptrdiff_t,
                                 REAL *, ptrdiff_t, ptrdiff_t);
#define ROW(K) {NAME(roll_##K##_1_1), NAME(roll_##K##_2_1), NAME(roll_##K##_2_2)}
static NAME(roll_function) *const NAME(rolls)[ROLLED][3] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7)};

/* `count` outputs of a row are written, at most those of the vectors. */
static inline void NAME(roll_rows)(int K, int vecs, int columns, const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at,
                                   const ptrdiff_t *points, const REAL *weights, ptrdiff_t rows, REAL *out,
                                   ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(rolls)[K - 1][vecs + columns - 2](in, in_step, at, points, weights, rows, out, out_step, count);
}

#undef ROLL
#undef ALL
#undef ROW
