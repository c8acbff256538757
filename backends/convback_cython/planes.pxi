"""y and dx of depthwise layers, plane by plane, with vectors along the rows (planned in planes.py).

Each plane of the result comes from one plane of the operand. A thread copies a block of that with its padding, and
rolls down its rows (rolling_body.h). No sum is split, so the result does not depend on the number of threads.
"""

cdef extern from "microkernel.h":
    int strip_vecs(int K, Py_ssize_t left) nogil
    void float_roll_rows(
        int K, int vecs, int columns, const float *source, Py_ssize_t in_step, const Py_ssize_t *at,
        const Py_ssize_t *points, const float *weights, Py_ssize_t rows, float *out, Py_ssize_t out_step,
        Py_ssize_t count) nogil
    void double_roll_rows(
        int K, int vecs, int columns, const double *source, Py_ssize_t in_step, const Py_ssize_t *at,
        const Py_ssize_t *points, const double *weights, Py_ssize_t rows, double *out, Py_ssize_t out_step,
        Py_ssize_t count) nogil


cdef class Planes:
    """One pass in C; `plan` is a `planes.Planes`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t channels, columns, phases, taps, out_plane, out_row, macs, own
    cdef bint single
    cdef Py_ssize_t[3] out_step
    cdef const Py_ssize_t[::1] phase_rolled, phase_spacing, phase_out, phase_count, phase_weight, column_point
    cdef const Py_ssize_t[::1] point_at, point_weight

    def __cinit__(self, plan):
        cdef int axis
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.channels, self.columns, self.taps = plan.channels, plan.columns, plan.taps
        self.phases = len(plan.phase_out)
        self.out_plane, self.out_row = plan.out[0] * plan.out[1] * plan.out[2], plan.out[2]
        self.macs, self.own = plan.macs, plan.own
        self.single = plan.itemsize == sizeof(float)
        for axis in range(3):
            self.out_step[axis] = plan.out_step[axis]
        self.phase_rolled, self.phase_spacing = plan.phase_rolled, plan.phase_spacing
        self.phase_out, self.phase_count, self.phase_weight = plan.phase_out, plan.phase_count, plan.phase_weight
        self.column_point, self.point_at, self.point_weight = plan.column_point, plan.point_at, plan.point_weight

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
    cdef Py_ssize_t item, items = plan.blocks.number() * plan.channels
    cdef Py_ssize_t turn = max(1, min(16, items // (8 * threads)))  # neighbours in memory are left to one thread
    cdef Watch watch = watching(items, plan.macs)
    if not all_finite(weights, plan.channels * plan.taps, threads):
        return False
    with nogil:
        for item in prange(items, num_threads=threads, schedule="dynamic", chunksize=turn):
            if not watch.stopped:
                roll_block(plan, source, weights, out, scratch + threadid() * size, item)
                look(&watch)
    ended(&watch)
    return True


cdef void roll_block(
    Planes plan, const real *source, const real *weights, real *out, real *copy, Py_ssize_t item
) noexcept nogil:
    """One block of one plane."""
    cdef real *spread = copy + plan.window.strides().n
    cdef Block block = plan.blocks.at(item // plan.channels)
    cdef Py_ssize_t channel = item % plan.channels, i, phase
    copy_rows(plan.window, source + block.n * plan.window.image, copy, &block.start[0], 1, channel)
    for i in range(plan.point_weight.shape[0]):
        spread[i] = weights[channel * plan.taps + plan.point_weight[i]]
    out += (block.n * plan.channels + channel) * plan.out_plane
    for i in range(3):
        out += block.first[i] * plan.out_step[i]
    for phase in range(plan.phases):
        roll_phase(plan, &block, phase, copy, spread, out)


cdef void roll_phase(
    Planes plan, const Block *block, Py_ssize_t phase, const real *copy, const real *spread, real *out
) noexcept nogil:
    """The outputs of one phase of the first two axes, in strips of some vectors; the last overlaps, to be whole."""
    cdef Strides strides = plan.window.strides()
    cdef const Py_ssize_t *step = &plan.blocks.step[0]
    cdef Py_ssize_t spacing = plan.phase_spacing[phase], lanes = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t depth = min(block.size[0], plan.phase_count[2 * phase] - block.first[0])
    cdef Py_ssize_t height = min(block.size[1], plan.phase_count[2 * phase + 1] - block.first[1])
    cdef Py_ssize_t width = block.size[2], rolled = plan.phase_rolled[phase], outputs, q, residue, cell, vecs, wide
    outputs = min(width * plan.columns, plan.out_row - block.first[2] * plan.columns)
    out += plan.phase_out[phase]
    for q in range(depth):
        for residue in range(min(spacing, height)):
            cell = 0
            while cell < width:
                vecs = 2 if plan.columns > 1 else strip_vecs(rolled, (width - cell + lanes - 1) // lanes)
                wide = vecs * lanes // plan.columns
                cell = max(0, min(cell, width - wide))
                roll_rows(
                    rolled, vecs, plan.columns,
                    copy + q * step[0] * strides.q + residue * step[1] * strides.r + cell,
                    spacing * step[1] * strides.r, &plan.point_at[0], &plan.column_point[phase * plan.columns],
                    spread + plan.phase_weight[phase], (height - residue + spacing - 1) // spacing,
                    out + q * plan.out_step[0] + residue * plan.out_step[1] + cell * plan.columns,
                    spacing * plan.out_step[1], min(outputs - cell * plan.columns, vecs * lanes),
                )
                cell += wide


cdef inline void roll_rows(
    int K, int vecs, int columns, const real *source, Py_ssize_t in_step, const Py_ssize_t *at,
    const Py_ssize_t *points, const real *weights, Py_ssize_t rows, real *out, Py_ssize_t out_step, Py_ssize_t count,
) noexcept nogil:
    if real is float:
        float_roll_rows(K, vecs, columns, source, in_step, at, points, weights, rows, out, out_step, count)
    else:
        double_roll_rows(K, vecs, columns, source, in_step, at, points, weights, rows, out, out_step, count)
