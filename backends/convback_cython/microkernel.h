/* What Cython cannot say: register tiles and transpositions, in the vector types of GCC and Clang.

   The functions stand in microkernel_body.h, once for each type. Here are the numbers of the instruction set. */

#ifndef CONVBACK_MICROKERNEL_H
#define CONVBACK_MICROKERNEL_H

#include <stddef.h>
#include <string.h>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

#ifndef __GNUC__
#error "these kernels need the vector types of GCC or Clang"
#endif

/* VECTOR_BYTES is the width of a register. TILE_ROWS rows of two accumulators, with two registers for b and one for a,
   are as many as there are. So are ROLLED output rows of three, with three for inputs and one for a weight: see
   rolling_body.h. */
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 14
#define ROLLED 7
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#define ROLLED 4
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define TILE_ROWS 14
#define ROLLED 7
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#define ROLLED 4
#endif

#define LINE 64 /* bytes of a cache line */
#define PREFETCHED 40 /* products that b is fetched ahead */
#define STRIP_VECS 8 /* most vectors of a strip of these, as in planes.py */
#define SLOTS (2 * VECTOR_BYTES / 4) /* most numbers in a row of a tile */
#define STRIP (4 * TILE_ROWS)        /* most outputs of neighbouring tiles that are written together */
#define STRIP_SUMS ((STRIP + VECTOR_BYTES) * SLOTS)
#define PACKED_TAPS 256 /* up to so many are packed by transposition */
#define PACKED_WEIGHTS (PACKED_TAPS * SLOTS)

/* Where a part of a sum begins: an index into a, a number of steps in b. */
typedef struct {
    ptrdiff_t a, b;
} segment;

/* Taps that roll together: where the points read, and where the weights of the first begin. They read padding but from
   row `first` on and before row `end`. */
typedef struct {
    const ptrdiff_t *at, *last;
    ptrdiff_t weight, taps, first, end;
} turn;
_Static_assert(sizeof(turn) <= 48, "planes.py reserves so many bytes for each");

/* Columns of output rows, each a sum over the turns from its own to the next: see rolling_body.h. */
typedef struct {
    const turn *turns[3];
    ptrdiff_t rows, in_step, out_step, out_next;
} rolled;

/* How many vectors of output rows are computed at once, of those of each column that are left, so that registers hold
   them for K rows, and so that no few are left to the end. */
static inline int strip_vecs(int K, int columns, ptrdiff_t left)
{
    int most = K == ROLLED ? 3 : 4;
    most /= columns;
    if (left <= most)
        return (int)left * columns;
    if (K * columns == 1 && left >= STRIP_VECS)
        return STRIP_VECS;
    ptrdiff_t strips = (left + most - 1) / most;
    return (int)((left + strips - 1) / strips) * columns;
}

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")
#define PASTED(real, name) real##_##name
#define TYPED(real, name) PASTED(real, name)
#define NAME(name) TYPED(REAL, name)

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (NAME(mask)){__VA_ARGS__})
#endif
#define LOW_2 0, 2
#define HIGH_2 1, 3
#define LOW_4 0, 4, 1, 5
#define HIGH_4 2, 6, 3, 7
#define LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

/* Keeps what was loaded in a register; else compilers read it again for each use. */
#if defined(__x86_64__) && defined(__AVX512F__)
#define HOLD(vector) __asm__("" : "+v"(vector))
#elif defined(__x86_64__)
#define HOLD(vector) __asm__("" : "+x"(vector))
#else
#define HOLD(vector)
#endif

#define KEEP(pointer) __asm__("" : "+r"(pointer))

#if defined(__x86_64__)
static int cpu_has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static int cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
#define cpu_has_avx2() 0
#define cpu_has_avx512() 0
#endif

/* Ask for memory that is read soon; it need not be there. */
INLINE void prefetch(const void *from, ptrdiff_t size)
{
    for (ptrdiff_t i = 0; i < size; i += LINE)
        __builtin_prefetch((const char *)from + i);
}

#define REAL float
#define INTEGER int
#if VECTOR_BYTES == 64
#define LANES 16
#define LOW LOW_16
#define HIGH HIGH_16
#define STORE_MASKED _mm512_mask_storeu_ps
#define LOAD_MASKED _mm512_maskz_loadu_ps
#elif VECTOR_BYTES == 32
#define LANES 8
#define LOW LOW_8
#define HIGH HIGH_8
#else
#define LANES 4
#define LOW LOW_4
#define HIGH HIGH_4
#endif
#include "microkernel_body.h"

#define REAL double
#define INTEGER long long
#if VECTOR_BYTES == 64
#define LANES 8
#define LOW LOW_8
#define HIGH HIGH_8
#define STORE_MASKED _mm512_mask_storeu_pd
#define LOAD_MASKED _mm512_maskz_loadu_pd
#elif VECTOR_BYTES == 32
#define LANES 4
#define LOW LOW_4
#define HIGH HIGH_4
#else
#define LANES 2
#define LOW LOW_2
#define HIGH HIGH_2
#endif
#include "microkernel_body.h"

#endif
