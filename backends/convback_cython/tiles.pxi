"""What the kernels over register tiles share: the tile itself, and pieces of a workspace."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef extern from "microkernel.h":
    ctypedef struct segment:
        Py_ssize_t a, b
    enum:
        VECTOR_BYTES
        TILE_ROWS
        SLOTS
        STRIP
        STRIP_SUMS
        PACKED_TAPS
        PACKED_WEIGHTS
    void float_sum_tile(
        int rows, int vecs, int lanes, const float *a, const Py_ssize_t *at, Py_ssize_t a_step, const float *b,
        Py_ssize_t b_step, const segment *segments, Py_ssize_t count, Py_ssize_t depth, float *sums,
        Py_ssize_t sums_step, int add) nogil
    void double_sum_tile(
        int rows, int vecs, int lanes, const double *a, const Py_ssize_t *at, Py_ssize_t a_step, const double *b,
        Py_ssize_t b_step, const segment *segments, Py_ssize_t count, Py_ssize_t depth, double *sums,
        Py_ssize_t sums_step, int add) nogil
    void float_put_strip(Py_ssize_t count, int vecs, const float *sums, float *out, const Py_ssize_t *to) nogil
    void double_put_strip(Py_ssize_t count, int vecs, const double *sums, double *out, const Py_ssize_t *to) nogil
    int float_are_finite(const float *a, Py_ssize_t count) nogil
    int double_are_finite(const double *a, Py_ssize_t count) nogil
    void float_zero_rows(float *to, Py_ssize_t to_step, Py_ssize_t rows, Py_ssize_t count) nogil
    void double_zero_rows(double *to, Py_ssize_t to_step, Py_ssize_t rows, Py_ssize_t count) nogil
    void float_copy_padded(
        const float *source, Py_ssize_t from_step, Py_ssize_t rows, Py_ssize_t before, Py_ssize_t count,
        Py_ssize_t after, float *to, Py_ssize_t to_step) nogil
    void double_copy_padded(
        const double *source, Py_ssize_t from_step, Py_ssize_t rows, Py_ssize_t before, Py_ssize_t count,
        Py_ssize_t after, double *to, Py_ssize_t to_step) nogil
    void float_interleave(
        const float *source, Py_ssize_t from_step, Py_ssize_t filled, Py_ssize_t count, const float *end, float *to,
        Py_ssize_t to_step) nogil
    void double_interleave(
        const double *source, Py_ssize_t from_step, Py_ssize_t filled, Py_ssize_t count, const double *end, double *to,
        Py_ssize_t to_step) nogil
    void float_multiply_add(Py_ssize_t steps, float *sums) nogil
    void double_multiply_add(Py_ssize_t steps, double *sums) nogil

cdef enum:
    FINITE_BLOCK = 65536


cdef class Operands:
    """The memory of two operands, the result and the scratch memory, held while a kernel runs."""

    cdef Py_buffer[4] buffers
    cdef int held

    def __cinit__(self, a, b, out, scratch):
        for operand in (a, b, out, scratch):
            flags = PyBUF_SIMPLE if self.held < 2 else PyBUF_WRITABLE
            PyObject_GetBuffer(operand, &self.buffers[self.held], flags)
            self.held += 1

    def __dealloc__(self):
        cdef int i
        for i in range(self.held):
            PyBuffer_Release(&self.buffers[i])


cdef inline Py_ssize_t in_lines(Py_ssize_t numbers) noexcept nogil:
    """As in planning.py: at least so many numbers, in lines of cache that a thread shares with no other."""
    return (numbers + 31) // 32 * 32 + 32


cdef inline void sum_tile(
    int rows, int vecs, int lanes, const real *a, const Py_ssize_t *at, Py_ssize_t a_step, const real *b,
    Py_ssize_t b_step, const segment *segments, Py_ssize_t count, Py_ssize_t depth, real *sums, Py_ssize_t sums_step,
    int add,
) noexcept nogil:
    if real is float:
        float_sum_tile(rows, vecs, lanes, a, at, a_step, b, b_step, segments, count, depth, sums, sums_step, add)
    else:
        double_sum_tile(rows, vecs, lanes, a, at, a_step, b, b_step, segments, count, depth, sums, sums_step, add)


cdef inline void put_strip(
    Py_ssize_t count, int vecs, const real *sums, real *out, const Py_ssize_t *to
) noexcept nogil:
    """out[to[slot] + i] = sums[i, slot] for i < count and every slot whose `to` is not negative."""
    if real is float:
        float_put_strip(count, vecs, sums, out, to)
    else:
        double_put_strip(count, vecs, sums, out, to)


cdef inline void zero_rows(real *to, Py_ssize_t to_step, Py_ssize_t rows, Py_ssize_t count) noexcept nogil:
    if real is float:
        float_zero_rows(to, to_step, rows, count)
    else:
        double_zero_rows(to, to_step, rows, count)


cdef inline void copy_padded(
    const real *source, Py_ssize_t from_step, Py_ssize_t rows, Py_ssize_t before, Py_ssize_t count, Py_ssize_t after,
    real *to, Py_ssize_t to_step,
) noexcept nogil:
    """Rows with zeros before and after what is copied."""
    if real is float:
        float_copy_padded(source, from_step, rows, before, count, after, to, to_step)
    else:
        double_copy_padded(source, from_step, rows, before, count, after, to, to_step)


cdef inline void interleave(
    const real *source, Py_ssize_t from_step, Py_ssize_t filled, Py_ssize_t count, const real *end, real *to,
    Py_ssize_t to_step,
) noexcept nogil:
    """to[i * to_step + lane] = source[lane * from_step + i] for i < count; zero in lanes from `filled` on.

    Nothing is read from `end` on.
    """
    if real is float:
        float_interleave(source, from_step, filled, count, end, to, to_step)
    else:
        double_interleave(source, from_step, filled, count, end, to, to_step)


cdef bint all_finite(const real *a, Py_ssize_t count, int threads) noexcept nogil:
    """Whether no number is infinite or NaN."""
    cdef Py_ssize_t block, blocks = (count + FINITE_BLOCK - 1) // FINITE_BLOCK
    cdef Py_ssize_t bad = 0
    if blocks == 1:
        return are_finite(a, count)
    for block in prange(blocks, num_threads=threads, schedule="static"):
        bad += not are_finite(a + block * FINITE_BLOCK, min(FINITE_BLOCK, count - block * FINITE_BLOCK))
    return bad == 0


cdef inline bint are_finite(const real *a, Py_ssize_t count) noexcept nogil:
    if real is float:
        return float_are_finite(a, count)
    else:
        return double_are_finite(a, count)


def multiply_add(real[:, ::1] sums, Py_ssize_t steps, int threads):
    """In each row, which is as long as a tile has sums: sums = sums / 2 + 1, steps times, in registers."""
    cdef Py_ssize_t row
    for row in prange(sums.shape[0], nogil=True, num_threads=threads, schedule="static"):
        if real is float:
            float_multiply_add(steps, &sums[row, 0])
        else:
            double_multiply_add(steps, &sums[row, 0])
