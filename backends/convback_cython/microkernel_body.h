/* The kernels of one type REAL, of which a register holds LANES. Included by microkernel.h. */

typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL NAME(unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));
typedef INTEGER NAME(mask) __attribute__((vector_size(VECTOR_BYTES)));

INLINE NAME(vector) NAME(load)(const REAL *from)
{
    return *(const NAME(unaligned) *)from;
}

INLINE void NAME(store)(REAL *to, NAME(vector) value)
{
    *(NAME(unaligned) *)to = value;
}

/* Fewer numbers than a register has, in pieces of 4, 2 and 1 or, where there are masks, at once. */
INLINE void NAME(copy_few)(const REAL *from, REAL *to, ptrdiff_t count)
{
#ifdef STORE_MASKED
    STORE_MASKED(to, (1u << count) - 1, LOAD_MASKED((1u << count) - 1, from));
#else
    UNROLLED for (ptrdiff_t piece = LANES / 2; piece > 0; piece /= 2)
        if (count & piece) {
            memcpy(to, from, piece * sizeof(REAL));
            from += piece;
            to += piece;
        }
#endif
}

/* The first `count` numbers, or all of them; with count < 1 none. */
INLINE void NAME(store_part)(REAL *to, NAME(vector) value, ptrdiff_t count)
{
    if (count >= LANES)
        NAME(store)(to, value);
    else if (count > 0) {
#ifdef STORE_MASKED
        STORE_MASKED(to, (1u << count) - 1, value);
#else
        NAME(copy_few)((const REAL *)&value, to, count);
#endif
    }
}

/* Short rows, of which there are many: cheaper than a call of memcpy. */
INLINE void NAME(copy_row)(const REAL *from, REAL *to, ptrdiff_t count)
{
    if (count < LANES) {
        NAME(copy_few)(from, to, count);
        return;
    }
    for (ptrdiff_t i = 0; i < count - LANES; i += LANES)
        NAME(store)(to + i, NAME(load)(from + i));
    NAME(store)(to + count - LANES, NAME(load)(from + count - LANES));
}

INLINE void NAME(zero_row)(REAL *to, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i += LANES)
        NAME(store_part)(to + i, (NAME(vector)){0}, count - i);
}

static void NAME(zero_rows)(REAL *to, ptrdiff_t to_step, ptrdiff_t rows, ptrdiff_t count)
{
    for (; rows > 0; rows--, to += to_step)
        NAME(zero_row)(to, count);
}

/* Rows with zeros before and after what is copied. */
static void NAME(copy_padded)(const REAL *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t before, ptrdiff_t count,
                              ptrdiff_t after, REAL *to, ptrdiff_t to_step)
{
    for (; rows > 0; rows--, from += from_step, to += to_step) {
        NAME(zero_row)(to, before);
        NAME(copy_row)(from, to + before, count);
        NAME(zero_row)(to + before + count, after);
    }
}

/* Whether no number is infinite or NaN: times zero, these alone do not give zero. */
static int NAME(are_finite)(const REAL *a, ptrdiff_t count)
{
    NAME(vector) zeros[4] = {{0}};
    REAL total = 0;
    ptrdiff_t i = 0;
    for (; i <= count - 4 * LANES; i += 4 * LANES)
        UNROLLED for (int v = 0; v < 4; v++)
            zeros[v] += NAME(load)(a + i + v * LANES) * (REAL)0;
    for (; i < count; i++)
        total += a[i] * (REAL)0;
    for (int v = 0; v < 4; v++)
        for (int lane = 0; lane < LANES; lane++)
            total += zeros[v][lane];
    return total == 0;
}

/* A tile of sums, held in registers while they run:

       sums[i * sums_step + v * LANES + lane] += a_i * b_v     i < rows <= TILE_ROWS, v < vecs <= 2; add = 0: from zero

   over all segments, and over k < depth in each:

       a_i = a[segment.a + at[i] + k * a_step]      b_v = b[(segment.b + k) * b_step + v * LANES]

   b_v is a vector. a_i is one number, broadcast to all lanes, or, with `lanes`, a vector too. */
INLINE void NAME(tile)(const int rows, const int vecs, const int lanes, const REAL *a, const ptrdiff_t *at,
                       ptrdiff_t a_step, const REAL *b, ptrdiff_t b_step, const segment *segments, ptrdiff_t count,
                       ptrdiff_t depth, REAL *sums, ptrdiff_t sums_step, int add)
{
    NAME(vector) acc[TILE_ROWS][2];
    UNROLLED for (int i = 0; i < rows; i++)
        for (int v = 0; v < vecs; v++)
            acc[i][v] = (NAME(vector)){0};
    if (add)
        UNROLLED for (int i = 0; i < rows; i++)
            for (int v = 0; v < vecs; v++)
                acc[i][v] = NAME(load)(sums + i * sums_step + v * LANES);
    for (ptrdiff_t s = 0; s < count; s++) {
        const REAL *a_k = a + segments[s].a;
        const REAL *b_k = b + segments[s].b * b_step;
        /* Unrolled, and one prefetch a line: on AVX2 what is decoded, not multiplied, limits a core that others use too. */
        _Pragma("GCC unroll 4") for (ptrdiff_t k = 0; k < depth; k++, a_k += a_step, b_k += b_step) {
            NAME(vector) b_v[2];
            if (!lanes) /* b comes from the second-level cache, once for each tile */
                for (int v = 0; v < vecs; v += LINE / VECTOR_BYTES)
                    __builtin_prefetch(b_k + PREFETCHED * b_step + v * LANES);
            for (int v = 0; v < vecs; v++)
                b_v[v] = NAME(load)(b_k + v * LANES);
            UNROLLED for (int i = 0; i < rows; i++) {
                const REAL *from = a_k + at[i];
                NAME(vector) a_i = lanes ? NAME(load)(from) : *from - (NAME(vector)){0};
                for (int v = 0; v < vecs; v++)
                    acc[i][v] += a_i * b_v[v];
            }
        }
    }
    UNROLLED for (int i = 0; i < rows; i++)
        for (int v = 0; v < vecs; v++)
            NAME(store)(sums + i * sums_step + v * LANES, acc[i][v]);
}

/* Rows become columns, in registers: log2(LANES) rounds, each of which interleaves the first half of the rows with the
   second. */
INLINE void NAME(transpose)(NAME(vector) rows[LANES])
{
    NAME(vector) next[LANES];
    UNROLLED for (int round = 1; round < LANES; round *= 2) {
        UNROLLED for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = SHUFFLE(rows[i], rows[i + LANES / 2], LOW);
            next[2 * i + 1] = SHUFFLE(rows[i], rows[i + LANES / 2], HIGH);
        }
        UNROLLED for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
}

/* out[to[v * LANES + lane] + i] = sums[i][v][lane] for i < count, in the lanes whose `to` is not negative. Reads, but does
   not write, up to LANES rows of sums. */
static void NAME(put_strip)(ptrdiff_t count, int vecs, const REAL *sums, REAL *out, const ptrdiff_t *to)
{
    for (int v = 0; v < vecs; v++, to += LANES)
        for (ptrdiff_t first = 0; first < count; first += LANES) {
            NAME(vector) block[LANES];
            if (count >= LANES && first > count - LANES)
                first = count - LANES; /* the last block overlaps the one before, to be a whole one */
            UNROLLED for (int i = 0; i < LANES; i++)
                block[i] = NAME(load)(sums + ((first + i) * vecs + v) * LANES);
            NAME(transpose)(block);
            UNROLLED for (int lane = 0; lane < LANES; lane++)
                if (to[lane] >= 0)
                    NAME(store_part)(out + to[lane] + first, block[lane], count);
        }
}

/* The same as below, number by number. */
static __attribute__((noinline)) void NAME(interleave_part)(const REAL *from, ptrdiff_t from_step, ptrdiff_t filled,
                                                            ptrdiff_t count, REAL *to, ptrdiff_t to_step)
{
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t lane = 0; lane < LANES; lane++)
            to[i * to_step + lane] = lane < filled ? from[lane * from_step + i] : 0;
}

/* to[i * to_step + lane] = from[lane * from_step + i] for i < count; zero in lanes from `filled` on. Nothing is read from
   `end` on. */
static void NAME(interleave)(const REAL *from, ptrdiff_t from_step, ptrdiff_t filled, ptrdiff_t count, const REAL *end,
                             REAL *to, ptrdiff_t to_step)
{
    for (ptrdiff_t first = 0; first < count; first += LANES) {
        NAME(vector) block[LANES];
        if (count >= LANES && first > count - LANES)
            first = count - LANES; /* the last block overlaps the one before, to be a whole one */
        const REAL *row = from + first;
        ptrdiff_t rows = count - first;
        if (row + (filled - 1) * from_step + LANES > end) {
            NAME(interleave_part)(row, from_step, filled, rows < LANES ? rows : LANES, to + first * to_step, to_step);
            continue;
        }
        if (filled == LANES)
            UNROLLED for (int lane = 0; lane < LANES; lane++)
                block[lane] = NAME(load)(row + lane * from_step);
        else
            UNROLLED for (int lane = 0; lane < LANES; lane++)
                block[lane] = lane < filled ? NAME(load)(row + lane * from_step) : (NAME(vector)){0};
        NAME(transpose)(block);
        if (rows >= LANES)
            UNROLLED for (int i = 0; i < LANES; i++)
                NAME(store)(to + (first + i) * to_step, block[i]);
        else
            UNROLLED for (int i = 0; i < LANES; i++)
                if (i < rows)
                    NAME(store)(to + (first + i) * to_step, block[i]);
    }
}

/* Slot first + i is source[i * next] for i < count; panels of 2 * LANES slots lie `step` numbers apart. */
static void NAME(take_row)(const REAL *source, ptrdiff_t next, ptrdiff_t first, ptrdiff_t count, REAL *panels,
                           ptrdiff_t step)
{
    for (ptrdiff_t i = 0, piece; i < count; i += piece) {
        ptrdiff_t slot = (first + i) % (2 * LANES);
        REAL *to = panels + (first + i) / (2 * LANES) * step + slot;
        piece = count - i < 2 * LANES - slot ? count - i : 2 * LANES - slot;
        if (next == 1)
            NAME(copy_row)(source + i, to, piece);
        else
            for (ptrdiff_t j = 0; j < piece; j++)
                to[j] = source[(i + j) * next];
    }
}

/* to[i * next] = row[i] for i < count, and zeros between these and before `end`. */
static void NAME(put_row)(const REAL *row, ptrdiff_t count, REAL *to, ptrdiff_t next, ptrdiff_t end)
{
    ptrdiff_t i = 0;
    if (next == 1) {
        NAME(copy_row)(row, to, count);
        i = count;
    }
    for (; next == 2 && i + LANES <= count && 2 * (i + LANES) <= end; i += LANES) {
        NAME(vector) numbers = NAME(load)(row + i), zeros = {0};
        NAME(store)(to + 2 * i, SHUFFLE(numbers, zeros, LOW));
        NAME(store)(to + 2 * i + LANES, SHUFFLE(numbers, zeros, HIGH));
    }
    NAME(zero_row)(to + i * next, end - i * next);
    for (; i < count; i++)
        to[i * next] = row[i];
}

#define TILE(rows, vecs, lanes)                                                                                        \
    static void NAME(tile_##rows##_##vecs##_##lanes)(                                                                  \
        const REAL *a, const ptrdiff_t *at, ptrdiff_t a_step, const REAL *b, ptrdiff_t b_step,                         \
        const segment *segments, ptrdiff_t count, ptrdiff_t depth, REAL *sums, ptrdiff_t sums_step, int add)           \
    {                                                                                                                  \
        NAME(tile)(rows, vecs, lanes, a, at, a_step, b, b_step, segments, count, depth, sums, sums_step, add);         \
    }
#define ALL(rows) TILE(rows, 1, 0) TILE(rows, 2, 0) TILE(rows, 1, 1) TILE(rows, 2, 1)
ALL(1) ALL(2) ALL(3) ALL(4) ALL(5) ALL(6)
#if TILE_ROWS > 6
ALL(7) ALL(8) ALL(9) ALL(10) ALL(11) ALL(12) ALL(13) ALL(14)
#define TABLE(name) {0, name(1), name(2), name(3), name(4), name(5), name(6), name(7), name(8), name(9), name(10),     \
                     name(11), name(12), name(13), name(14)}
#else
#define TABLE(name) {0, name(1), name(2), name(3), name(4), name(5), name(6)}
#endif

typedef void NAME(tile_function)(const REAL *, const ptrdiff_t *, ptrdiff_t, const REAL *, ptrdiff_t, const segment *,
                                 ptrdiff_t, ptrdiff_t, REAL *, ptrdiff_t, int);

#define BROADCAST_1(rows) NAME(tile_##rows##_1_0)
#define BROADCAST_2(rows) NAME(tile_##rows##_2_0)
#define LANES_1(rows) NAME(tile_##rows##_1_1)
#define LANES_2(rows) NAME(tile_##rows##_2_1)
static NAME(tile_function) *const NAME(tiles)[2][2][TILE_ROWS + 1] = {
    {TABLE(BROADCAST_1), TABLE(BROADCAST_2)},
    {TABLE(LANES_1), TABLE(LANES_2)},
};

static inline void NAME(sum_tile)(int rows, int vecs, int lanes, const REAL *a, const ptrdiff_t *at, ptrdiff_t a_step,
                                  const REAL *b, ptrdiff_t b_step, const segment *segments, ptrdiff_t count,
                                  ptrdiff_t depth, REAL *sums, ptrdiff_t sums_step, int add)
{
    NAME(tiles)[lanes][vecs - 1][rows](a, at, a_step, b, b_step, segments, count, depth, sums, sums_step, add);
}

/* The peak of arithmetic: as many sums as a tile has, none of which waits for another, and nothing read from memory.
   sums[i] = sums[i] / 2 + 1, steps times, for i < 2 * TILE_ROWS * LANES. */
static void NAME(multiply_add)(ptrdiff_t steps, REAL *sums)
{
    NAME(vector) acc[2 * TILE_ROWS];
    const NAME(vector) half = (REAL)0.5 - (NAME(vector)){0}, one = (REAL)1 - (NAME(vector)){0};
    _Pragma("GCC unroll 32") for (int i = 0; i < 2 * TILE_ROWS; i++)
        acc[i] = NAME(load)(sums + i * LANES);
    for (ptrdiff_t step = 0; step < steps; step++)
        _Pragma("GCC unroll 32") for (int i = 0; i < 2 * TILE_ROWS; i++)
            acc[i] = acc[i] * half + one;
    _Pragma("GCC unroll 32") for (int i = 0; i < 2 * TILE_ROWS; i++)
        NAME(store)(sums + i * LANES, acc[i]);
}

#undef ALL
#undef TILE
#undef TABLE
#undef BROADCAST_1
#undef BROADCAST_2
#undef LANES_1
#undef LANES_2
#include "rolling_body.h"
#include "winograd_body.h"
#undef REAL
#undef INTEGER
#undef LANES
#undef LOW
#undef HIGH
#undef STORE_MASKED
#undef LOAD_MASKED
