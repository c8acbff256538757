/* Rows of one plane, with vectors along the row, for one type REAL. Included by microkernel_body.h.

   An output row i is a sum over K input rows, and over a list of points (one for each tap along the other axes):

       out[i][j] = sum over k < K, p of  in[(i + k) * in_step + at[p] + j] * weights[p * K + k]

   Input rows are read once, from top to bottom. Each goes into the K output rows that it belongs to, which are held in
   registers and roll on by one: what K output rows have in common is loaded once. */

/* By value, so that the sums need not be in memory. */
static __attribute__((noinline)) void NAME(store_part)(REAL *out, NAME(vector) row, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        out[i] = row[i];
}

INLINE void NAME(roll)(const int K, const int vecs, const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at,
                       ptrdiff_t points, const REAL *weights, ptrdiff_t rows, REAL *out, ptrdiff_t out_step,
                       ptrdiff_t count)
{
    NAME(vector) acc[ROLLED][2];
    UNROLLED for (int k = 0; k < K; k++)
        for (int v = 0; v < vecs; v++)
            acc[k][v] = (NAME(vector)){0};
    for (ptrdiff_t r = 0; r < rows + K - 1; r++, in += in_step) {
        for (ptrdiff_t p = 0; p < points; p++)
            UNROLLED for (int v = 0; v < vecs; v++) {
                NAME(vector) x = NAME(load)(in + at[p] + v * LANES);
                UNROLLED for (int k = 0; k < K; k++)
                    acc[k][v] += x * weights[p * K + k];
            }
        if (r >= K - 1) {
            if (count == vecs * LANES)
                UNROLLED for (int v = 0; v < vecs; v++)
                    NAME(store)(out + v * LANES, acc[K - 1][v]);
            else
                NAME(store_part)(out, acc[K - 1][0], count);
            out += out_step;
        }
        UNROLLED for (int k = K - 1; k > 0; k--)
            for (int v = 0; v < vecs; v++)
                acc[k][v] = acc[k - 1][v];
        for (int v = 0; v < vecs; v++)
            acc[0][v] = (NAME(vector)){0};
    }
}

#define ROLL(K, vecs)                                                                                                  \
    static void NAME(roll_##K##_##vecs)(const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at, ptrdiff_t points,      \
                                        const REAL *weights, ptrdiff_t rows, REAL *out, ptrdiff_t out_step,            \
                                        ptrdiff_t count)                                                               \
    {                                                                                                                  \
        NAME(roll)(K, vecs, in, in_step, at, points, weights, rows, out, out_step, count);                             \
    }
#define ALL(K) ROLL(K, 1) ROLL(K, 2)
ALL(1) ALL(2) ALL(3) ALL(4) ALL(5) ALL(6) ALL(7)

typedef void NAME(roll_function)(const REAL *, ptrdiff_t, const ptrdiff_t *, ptrdiff_t, const REAL *, ptrdiff_t, REAL *,
                                 ptrdiff_t, ptrdiff_t);
#define ROW(K) {NAME(roll_##K##_1), NAME(roll_##K##_2)}
static NAME(roll_function) *const NAME(rolls)[ROLLED][2] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7)};

/* `count` is all of the vectors or, of a single one, less. */
static inline void NAME(roll_rows)(int K, int vecs, const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at,
                                   ptrdiff_t points, const REAL *weights, ptrdiff_t rows, REAL *out,
                                   ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(rolls)[K - 1][vecs - 1](in, in_step, at, points, weights, rows, out, out_step, count);
}

#undef ROLL
#undef ALL
#undef ROW
