"""y and dx plane by plane, with vectors along the rows (planned in planes.py).

Each plane of the result is a sum over the planes of a group of the operand. A thread copies a block of these with its
padding, and rolls down the rows (rolling_body.h), once for each plane of the result. No sum is split, so the result
does not depend on the number of threads.
"""

cdef extern from "microkernel.h":
    enum:
        ROLLED
    ctypedef struct turn:
        const Py_ssize_t *at
        const Py_ssize_t *last
        Py_ssize_t weight, taps, first, end
    ctypedef struct rolled:
        const turn *turns[3]
        Py_ssize_t rows, in_step, out_step, out_next
    int strip_vecs(int K, int columns, Py_ssize_t left) nogil
    void float_roll_rows(
        int K, int vecs, int columns, const rolled *plan, const float *source, const float *weights, float *out,
        Py_ssize_t count) nogil
    void double_roll_rows(
        int K, int vecs, int columns, const rolled *plan, const double *source, const double *weights, double *out,
        Py_ssize_t count) nogil


cdef class Planes:
    """One pass in C; `plan` is a `planes.Planes`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t groups, channels, weight_channel, weight_group, weights, columns, phases, out_plane, out_row, macs
    cdef Py_ssize_t own, own_turns
    cdef bint single
    cdef Py_ssize_t[3] out_step
    cdef const Py_ssize_t[::1] phase_rolled, phase_spacing, phase_out, phase_count, column_turn
    cdef const Py_ssize_t[::1] turn_point, turn_taps, turn_row, turn_weight, point_at, point_weight

    def __cinit__(self, plan):
        cdef int axis
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.groups, self.channels, self.columns = plan.groups, plan.channels, plan.columns
        self.weight_channel, self.weight_group, self.weights = plan.weight_channel, plan.weight_group, plan.weights
        self.phases = len(plan.phase_out)
        self.out_plane, self.out_row = plan.out[0] * plan.out[1] * plan.out[2], plan.out[2]
        self.macs, self.own, self.own_turns = plan.macs, plan.own, plan.own_turns
        self.single = plan.itemsize == sizeof(float)
        for axis in range(3):
            self.out_step[axis] = plan.out_step[axis]
        self.phase_rolled, self.phase_spacing = plan.phase_rolled, plan.phase_spacing
        self.phase_out, self.phase_count, self.column_turn = plan.phase_out, plan.phase_count, plan.column_turn
        self.turn_point, self.turn_taps = plan.turn_point, plan.turn_taps
        self.turn_row, self.turn_weight = plan.turn_row, plan.turn_weight
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
    cdef Py_ssize_t copies = plan.blocks.number() * plan.groups
    # Where these are too few for the threads, the planes that a copy is for are divided, and each part makes its own.
    cdef Py_ssize_t shares = 1 if threads == 1 else min(plan.channels, (2 * threads - 1) // copies + 1)
    # Else groups that are neighbours in memory are left to one thread.
    cdef Py_ssize_t together = max(1, min(16, copies // (8 * threads)))
    cdef Py_ssize_t runs = (plan.groups + together - 1) // together
    cdef Py_ssize_t item, items = plan.blocks.number() * runs * shares
    cdef Watch watch = watching(items, plan.macs)
    if not all_finite(weights, plan.weights, threads):
        return False
    with nogil:
        if items == 1:  # a team of threads, even of one, takes half a microsecond
            roll_block(plan, source, weights, out, scratch, 0, runs, shares)
        else:
            for item in prange(items, num_threads=threads, schedule="dynamic"):
                if not watch.stopped:
                    roll_block(plan, source, weights, out, scratch + threadid() * plan.own, item, runs, shares)
                    look(&watch)
    ended(&watch)
    return True


cdef void roll_block(
    Planes plan, const real *source, const real *weights, real *out, real *own, Py_ssize_t item, Py_ssize_t runs,
    Py_ssize_t shares,
) noexcept nogil:
    """One block of a run of groups, and of these all planes or a share."""
    cdef turn *turns = <turn *> own
    cdef real *copy = own + plan.own_turns
    cdef real *spread = copy + plan.window.strides().n
    cdef Py_ssize_t share = item % shares, run = item // shares % runs, group, channel, i, phase
    cdef Block block = plan.blocks.at(item // shares // runs)
    cdef Inside part = inside(plan.window, &block.start[0], -block.start[0])
    cdef real *plane
    source += block.n * plan.window.image
    out += block.n * plan.groups * plan.channels * plan.out_plane
    for i in range(3):
        out += block.first[i] * plan.out_step[i]
    for phase in range(plan.phases):
        take_turns(plan, &part, phase, 0, turns)
    for group in range(run * plan.groups // runs, (run + 1) * plan.groups // runs):
        copy_rows(plan.window, source, copy, &block.start[0], 1, group)
        for channel in range(share * plan.channels // shares, (share + 1) * plan.channels // shares):
            for i in range(plan.point_weight.shape[0]):
                spread[i] = weights[group * plan.weight_group + channel * plan.weight_channel + plan.point_weight[i]]
            plane = out + (group * plan.channels + channel) * plan.out_plane
            for phase in range(plan.phases):
                roll_phase(plan, &block, &part, phase, copy, spread, turns, plane)


cdef void roll_phase(
    Planes plan, const Block *block, const Inside *part, Py_ssize_t phase, const real *copy, const real *spread,
    turn *turns, real *out,
) noexcept nogil:
    """The outputs of one phase, in strips of some vectors; the last overlaps, to be whole."""
    cdef Strides strides = plan.window.strides()
    cdef const Py_ssize_t *step = &plan.blocks.step[0]
    cdef const Py_ssize_t *count = &plan.phase_count[3 * phase]
    cdef Py_ssize_t spacing = plan.phase_spacing[phase], lanes = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t height = min(block.size[1], count[1] - block.first[1])
    cdef Py_ssize_t width = min(block.size[2], count[2] - block.first[2]), outputs = width, q, residue, cell, vecs, wide
    cdef int K = plan.phase_rolled[phase], column
    cdef rolled rows
    if plan.columns > 1:
        outputs = min(width * plan.columns, plan.out_row - block.first[2] * plan.columns)
    for column in range(<int> plan.columns + 1):
        rows.turns[column] = turns + plan.column_turn[phase * plan.columns + column]
    rows.in_step, rows.out_step = spacing * step[1] * strides.r, spacing * plan.out_step[1]
    rows.out_next = plan.out_step[2] // plan.columns
    out += plan.phase_out[phase]
    for residue in range(min(spacing, height)):
        rows.rows = height if spacing == 1 else (height - residue - 1) // spacing + 1
        if spacing > 1:
            take_turns(plan, part, phase, residue, turns)
        for q in range(min(block.size[0], count[0] - block.first[0])):
            cell = 0
            while cell < width:
                vecs = strip_vecs(K, plan.columns, (width - cell + lanes - 1) // lanes)
                wide = vecs * lanes // plan.columns
                cell = max(0, min(cell, width - wide))
                roll_rows(
                    K, vecs, plan.columns, &rows,
                    copy + q * step[0] * strides.q + residue * step[1] * strides.r + cell, spread,
                    out + q * plan.out_step[0] + residue * plan.out_step[1] + cell * plan.out_step[2],
                    min(outputs - cell * plan.columns, vecs * lanes),
                )
                cell += wide


cdef void take_turns(Planes plan, const Inside *part, Py_ssize_t phase, Py_ssize_t residue, turn *turns) noexcept nogil:
    """The turns of a phase, for the output rows from this one on that are its spacing apart."""
    cdef Py_ssize_t t, row, step = plan.phase_spacing[phase] * plan.blocks.step[1]
    for t in range(plan.column_turn[phase * plan.columns], plan.column_turn[(phase + 1) * plan.columns]):
        row = residue * plan.blocks.step[1] + plan.turn_row[t]
        turns[t] = turn(
            at=&plan.point_at[plan.turn_point[t]], last=&plan.point_at[0] + plan.turn_point[t + 1],
            weight=plan.turn_weight[t], taps=plan.turn_taps[t],
            first=rows_until(part.first_row - row, step), end=rows_until(part.last_row - row, step),
        )


cdef inline Py_ssize_t rows_until(Py_ssize_t row, Py_ssize_t step) noexcept nogil:
    """The first row that is not before this one, where they are `step` apart; rows before the first count as none."""
    return max(0, row if step == 1 else (row + step - 1) // step)


cdef inline void roll_rows(
    int K, int vecs, int columns, const rolled *rows, const real *source, const real *weights, real *out,
    Py_ssize_t count,
) noexcept nogil:
    if real is float:
        float_roll_rows(K, vecs, columns, rows, source, weights, out, count)
    else:
        double_roll_rows(K, vecs, columns, rows, source, weights, out, count)
