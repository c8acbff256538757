/* Rows of one plane, with vectors along the row, for one type REAL. Included by microkernel_body.h.

   An output row i is a sum over K input rows, and over a list of points (one for each tap along the other axes):

       out[i][j] = sum over k < K, p of  in[(i + k) * in_step + at[p] + j] * weights[p * K + k]

   Input rows are read once, from top to bottom. Each goes into the K output rows that it belongs to, which are held in
   registers and roll on by one: what K output rows have in common is loaded once. */

#define ROLLED 7 /* most rows that roll */

static __attribute__((noinline)) void NAME(store_part)(REAL *out, const NAME(vector) * row, ptrdiff_t count)
{
    memcpy(out, row, sizeof(REAL) * count);
}

INLINE void NAME(roll)(const int K, const int columns, const int vecs, const REAL *in, ptrdiff_t in_step,
                       const ptrdiff_t *at, const ptrdiff_t *first, const REAL *weights, ptrdiff_t rows, REAL *out,
                       ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(vector) acc[ROLLED][4];
    UNROLLED for (int k = 0; k < K; k++)
        for (int v = 0; v < columns * vecs; v++)
            acc[k][v] = (NAME(vector)){0};
    for (ptrdiff_t r = 0; r < rows + K - 1; r++, in += in_step) {
        UNROLLED for (int c = 0; c < columns; c++)
            for (ptrdiff_t p = first[c]; p < first[c + 1]; p++)
                UNROLLED for (int v = 0; v < vecs; v++) {
                    NAME(vector) x = NAME(load)(in + at[p] + v * LANES);
                    UNROLLED for (int k = 0; k < K; k++)
                        acc[k][c * vecs + v] += x * weights[p * K + k];
                }
        if (r >= K - 1) {
            NAME(vector) *row = acc[K - 1];
            if (columns == 2) { /* phases of neighbouring outputs */
                NAME(vector) even = row[0], odd = row[1];
                row[0] = SHUFFLE(even, odd, LOW);
                row[1] = SHUFFLE(even, odd, HIGH);
            }
            if (count == columns * vecs * LANES)
                UNROLLED for (int v = 0; v < columns * vecs; v++)
                    NAME(store)(out + v * LANES, row[v]);
            else
                NAME(store_part)(out, row, count);
            out += out_step;
        }
        UNROLLED for (int k = K - 1; k > 0; k--)
            for (int v = 0; v < columns * vecs; v++)
                acc[k][v] = acc[k - 1][v];
        for (int v = 0; v < columns * vecs; v++)
            acc[0][v] = (NAME(vector)){0};
    }
}

#define ROLL(K, columns, vecs)                                                                                         \
    static void NAME(roll_##K##_##columns##_##vecs)(                                                                   \
        const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at, const ptrdiff_t *first, const REAL *weights,           \
        ptrdiff_t rows, REAL *out, ptrdiff_t out_step, ptrdiff_t count)                                                \
    {                                                                                                                  \
        NAME(roll)(K, columns, vecs, in, in_step, at, first, weights, rows, out, out_step, count);                     \
    }
#define ALL(K) ROLL(K, 1, 1) ROLL(K, 1, 2) ROLL(K, 2, 1)
ALL(1) ALL(2) ALL(3) ALL(4) ALL(5) ALL(6) ALL(7)

typedef void NAME(roll_function)(const REAL *, ptrdiff_t, const ptrdiff_t *, const ptrdiff_t *, const REAL *, ptrdiff_t,
                                 REAL *, ptrdiff_t, ptrdiff_t);
#define ROW(K) {NAME(roll_##K##_1_1), NAME(roll_##K##_1_2), NAME(roll_##K##_2_1)}
static NAME(roll_function) *const NAME(rolls)[ROLLED][3] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7)};

/* With one column, one or two vectors of positions; with two, one. */
static inline void NAME(roll_rows)(int K, int columns, int vecs, const REAL *in, ptrdiff_t in_step, const ptrdiff_t *at,
                                   const ptrdiff_t *first, const REAL *weights, ptrdiff_t rows, REAL *out,
                                   ptrdiff_t out_step, ptrdiff_t count)
{
    NAME(rolls)[K - 1][columns + vecs - 2 + (columns > 1)](in, in_step, at, first, weights, rows, out, out_step, count);
}

#undef ROLL
#undef ALL
#undef ROW
#undef ROLLED
