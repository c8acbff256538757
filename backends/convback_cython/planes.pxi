"""y and dx of depthwise layers, plane by plane, with vectors along the rows (planned in planes.py).

Each plane of the result comes from one plane of the operand. A thread copies a block of that with its padding, and
rolls down its rows (rolling_body.h). No sum is split, so the result does not depend on the number of threads.
"""

cdef extern from "microkernel.h":
    void float_roll_rows(
        int K, int vecs, const float *source, Py_ssize_t in_step, const Py_ssize_t *at, Py_ssize_t points,
        const float *weights, Py_ssize_t rows, float *out, Py_ssize_t out_step, Py_ssize_t count) nogil
    void double_roll_rows(
        int K, int vecs, const double *source, Py_ssize_t in_step, const Py_ssize_t *at, Py_ssize_t points,
        const double *weights, Py_ssize_t rows, double *out, Py_ssize_t out_step, Py_ssize_t count) nogil


cdef class Planes:
    """One pass in C; `plan` is a `planes.Planes`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t channels, rolled, spacing, taps, out_first, out_plane, macs, own
    cdef bint single
    cdef Py_ssize_t[3] out_step
    cdef const Py_ssize_t[::1] point_at, point_weight

    def __cinit__(self, plan):
        cdef int axis
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.channels, self.taps, self.out_first = plan.channels, plan.taps, plan.out_first
        self.rolled, self.spacing = plan.rolled, plan.spacing
        self.out_plane, self.macs, self.own = plan.out_plane, plan.macs, plan.own
        self.single = plan.itemsize == sizeof(float)
        for axis in range(3):
            self.out_step[axis] = plan.out_step[axis]
        self.point_at, self.point_weight = plan.point_at, plan.point_weight

    def run(self, source, weights, out, scratch, int threads):
        """Compute a pass: all its positions of `out`. `scratch` has the bytes that the plan says.

        Returns False, and has computed nothing, where padding would be multiplied by a weight that is not finite.
        """
        cdef Operands held = Operands(source, weights, out, scratch)
        if self.single:
            return run_planes(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_planes(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef int run_planes(
    Planes plan, const real *source, const real *weights, real *out, real *scratch, int threads
) except -1:
    cdef Py_ssize_t size = plan.own
    cdef Py_ssize_t item, first = 0, last, items = plan.blocks.number() * plan.channels
    if not all_finite(weights, plan.channels * plan.taps, threads):
        return False
    while first < items:
        last = min(items, first + turn_of(items, plan.macs, threads))
        with nogil:
            for item in prange(first, last, num_threads=threads, schedule="dynamic"):
                roll_block(plan, source, weights, out, scratch + threadid() * size, item)
        first = last
        PyErr_CheckSignals()
    return True


cdef void roll_block(
    Planes plan, const real *source, const real *weights, real *out, real *copy, Py_ssize_t item
) noexcept nogil:
    """One block of one plane."""
    cdef Strides strides = plan.window.strides()
    cdef real *spread = copy + strides.n
    cdef Block block = plan.blocks.at(item // plan.channels)
    cdef const Py_ssize_t *size = &block.size[0]
    cdef Py_ssize_t channel = item % plan.channels, in_step = plan.spacing * plan.blocks.step[1] * strides.r
    cdef Py_ssize_t vecs = 2 if size[2] * sizeof(real) >= 2 * VECTOR_BYTES else 1
    cdef Py_ssize_t wide = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t i, h, residue, j
    copy_rows(plan.window, source + block.n * plan.window.image, copy, &block.start[0], 1, channel)
    for i in range(plan.point_weight.shape[0]):
        spread[i] = weights[channel * plan.taps + plan.point_weight[i]]
    out += (block.n * plan.channels + channel) * plan.out_plane + plan.out_first
    out += block.first[0] * plan.out_step[0] + block.first[1] * plan.out_step[1] + block.first[2]
    for h in range(size[0]):
        for residue in range(min(plan.spacing, size[1])):
            j = 0
            while j < size[2]:
                j = max(0, min(j, size[2] - wide))  # the last vectors overlap those before, to be whole ones
                roll_rows(
                    plan.rolled, vecs,
                    copy + h * plan.blocks.step[0] * strides.q + residue * plan.blocks.step[1] * strides.r + j, in_step,
                    &plan.point_at[0], plan.point_at.shape[0], spread,
                    (size[1] - residue + plan.spacing - 1) // plan.spacing,
                    out + h * plan.out_step[0] + residue * plan.out_step[1] + j,
                    plan.spacing * plan.out_step[1], min(size[2] - j, wide),
                )
                j += wide


cdef inline void roll_rows(
    int K, int vecs, const real *source, Py_ssize_t in_step, const Py_ssize_t *at, Py_ssize_t points,
    const real *weights, Py_ssize_t rows, real *out, Py_ssize_t out_step, Py_ssize_t count,
) noexcept nogil:
    if real is float:
        float_roll_rows(K, vecs, source, in_step, at, points, weights, rows, out, out_step, count)
    else:
        double_roll_rows(K, vecs, source, in_step, at, points, weights, rows, out, out_step, count)
