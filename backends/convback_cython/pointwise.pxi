"""y and dx of pointwise layers: products of matrices, with vectors along the positions (planned in pointwise.py).

1. The weights are packed for tiles of at most TILE_ROWS channels of the result.
2. Threads share out blocks of positions, whose inputs each copies in panels of two vectors.
3. The sums of a tile and a panel are rows of the result already. They are written where they belong at once or, where
   a panel ends within a vector or there are strides, from a copy.

No sum is split, so the result does not depend on the number of threads. Nothing is multiplied but terms of the sums.
"""

cdef extern from "microkernel.h":
    void float_take_row(
        const float *source, Py_ssize_t next, Py_ssize_t first, Py_ssize_t count, float *panels, Py_ssize_t step) nogil
    void double_take_row(
        const double *source, Py_ssize_t next, Py_ssize_t first, Py_ssize_t count, double *panels,
        Py_ssize_t step) nogil
    void float_put_row(const float *row, Py_ssize_t count, float *to, Py_ssize_t next, Py_ssize_t end) nogil
    void double_put_row(const double *row, Py_ssize_t count, double *to, Py_ssize_t next, Py_ssize_t end) nogil

cdef enum:
    PACKED_TERMS = 32  # whose weights one thread packs: so many rows of the weights are read side by side


cdef struct Places:
    Py_ssize_t plane, depth, row, next


cdef class Pointwise:
    """One pass in C; `plan` is a `pointwise.Pointwise`."""

    cdef Py_ssize_t N, groups, summed, channels, weight_summed, weight_channel, macs, block, height, width, positions
    cdef Places source, out
    cdef bint single
    cdef Py_ssize_t[TILE_ROWS] at
    cdef segment whole

    def __cinit__(self, plan):
        cdef int i
        self.N, self.groups, self.summed, self.channels = plan.N, plan.groups, plan.summed, plan.channels
        self.weight_summed, self.weight_channel = plan.weight_summed, plan.weight_channel
        self.macs, self.block = plan.macs, plan.block
        self.height, self.width = plan.count[1], plan.count[2]
        self.positions = plan.count[0] * plan.count[1] * plan.count[2]
        self.source = Places(plan.source.plane, plan.source.step[0], plan.source.step[1], plan.source.step[2])
        self.out = Places(plan.out.plane, plan.out.step[0], plan.out.step[1], plan.out.step[2])
        self.single = plan.itemsize == sizeof(float)
        for i in range(TILE_ROWS):
            self.at[i] = i
        self.whole = segment(a=0, b=0)

    def run(self, source, weights, out, scratch, int threads):
        """Compute all of `out`. `scratch` has the bytes that the plan says."""
        cdef Operands held = Operands(source, weights, out, scratch)
        if self.single:
            return run_pointwise(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_pointwise(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)

    cdef Py_ssize_t place(self, const Places *places, Py_ssize_t position) noexcept nogil:
        """Of a position of an image, in a channel."""
        cdef Py_ssize_t row = position // self.width
        return (
            row // self.height * places.depth + row % self.height * places.row + position % self.width * places.next
        )

    cdef Py_ssize_t address(
        self, const Places *places, Py_ssize_t position, Py_ssize_t channels, Py_ssize_t channel
    ) noexcept nogil:
        """Of a position, counted through the images, each of which has so many channels."""
        cdef Py_ssize_t n = position // self.positions
        return (n * channels + channel) * places.plane + self.place(places, position % self.positions)


cdef int run_pointwise(
    Pointwise plan, const real *source, const real *weights, real *out, real *scratch, int threads
) except -1:
    cdef Py_ssize_t blocks = (plan.N * plan.positions + plan.block - 1) // plan.block
    cdef Py_ssize_t tiles = (plan.channels + TILE_ROWS - 1) // TILE_ROWS
    # Where blocks are too few for the threads, tiles are divided, and each part makes its own copy of the inputs.
    cdef Py_ssize_t shares = 1 if threads == 1 else min(tiles, (2 * threads - 1) // (blocks * plan.groups) + 1)
    cdef Py_ssize_t packs = (plan.summed + PACKED_TERMS - 1) // PACKED_TERMS
    cdef Py_ssize_t own = in_lines(plan.summed * plan.block), item, items = blocks * plan.groups * shares
    cdef real *copies = scratch + in_lines(plan.groups * plan.channels * plan.summed)
    cdef Watch watch = watching(items, plan.macs)
    with nogil:
        for item in prange(plan.groups * packs, num_threads=threads, schedule="static"):
            pack_terms(plan, weights, scratch, tiles, item // packs, item % packs * PACKED_TERMS)
        for item in prange(items, num_threads=threads, schedule="dynamic"):
            if not watch.stopped:
                multiply_block(
                    plan, source, scratch, out, copies + threadid() * own, tiles, item // shares // plan.groups,
                    item // shares % plan.groups, item % shares * tiles // shares,
                    (item % shares + 1) * tiles // shares,
                )
                look(&watch)
    ended(&watch)
    return True


cdef void pack_terms(
    Pointwise plan, const real *weights, real *packed, Py_ssize_t tiles, Py_ssize_t group, Py_ssize_t first
) noexcept nogil:
    """packed[tile][k, row] for some k of a group."""
    cdef Py_ssize_t tile, channel, rows, row, k
    weights += group * plan.channels * plan.summed
    packed += group * plan.channels * plan.summed
    for tile in range(tiles):
        channel = tile * plan.channels // tiles
        rows = (tile + 1) * plan.channels // tiles - channel
        for k in range(first, min(first + PACKED_TERMS, plan.summed)):
            for row in range(rows):
                packed[channel * plan.summed + k * rows + row] = (
                    weights[(channel + row) * plan.weight_channel + k * plan.weight_summed]
                )


cdef void multiply_block(
    Pointwise plan, const real *source, const real *packed, real *out, real *copy, Py_ssize_t tiles, Py_ssize_t block,
    Py_ssize_t group, Py_ssize_t first_tile, Py_ssize_t last_tile,
) noexcept nogil:
    """Some tiles of a group, for one block of positions."""
    cdef Py_ssize_t slots = 2 * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t first = block * plan.block, tile, channel, rows, panel
    cdef Py_ssize_t count = min(plan.block, plan.N * plan.positions - first)
    copy_positions(plan, source, copy, group, first, count)
    packed += group * plan.channels * plan.summed
    for tile in range(first_tile, last_tile):
        channel = tile * plan.channels // tiles
        rows = (tile + 1) * plan.channels // tiles - channel
        for panel in range((count + slots - 1) // slots):
            multiply_tile(
                plan, copy + panel * slots * plan.summed, packed + channel * plan.summed, out, rows,
                group * plan.channels + channel, first + panel * slots, min(slots, count - panel * slots),
            )


cdef void copy_positions(
    Pointwise plan, const real *source, real *copy, Py_ssize_t group, Py_ssize_t first, Py_ssize_t count
) noexcept nogil:
    """copy[panel][k, slot] of some positions; zero in the slots that are left."""
    cdef Py_ssize_t slots = 2 * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t i = 0, run, k, filled = count % slots
    cdef const real *channel
    while i < count:
        run = run_of(plan, first + i, count - i)
        channel = source + plan.address(&plan.source, first + i, plan.groups * plan.summed, group * plan.summed)
        for k in range(plan.summed):
            take_row(
                channel + k * plan.source.plane, plan.source.next, i, run, copy + k * slots, plan.summed * slots)
        i += run
    if filled:
        zero_rows(copy + (count - filled) * plan.summed + filled, slots, plan.summed, slots - filled)


cdef void multiply_tile(
    Pointwise plan, const real *inputs, const real *packed, real *out, Py_ssize_t rows, Py_ssize_t channel,
    Py_ssize_t first, Py_ssize_t count,
) noexcept nogil:
    """The sums of some channels of the result, counted through the groups, and the positions of a panel."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t vecs = 1 if count <= vector else 2, i = 0, run, row, end
    cdef Py_ssize_t n = first // plan.positions, p = first - n * plan.positions
    cdef real[TILE_ROWS * SLOTS] sums
    cdef real *to = sums
    cdef bint at_once = plan.out.plane == plan.positions and p + vecs * vector <= plan.positions
    if at_once:
        to = out + (n * plan.groups * plan.channels + channel) * plan.out.plane + p
    sum_tile(
        rows, vecs, False, packed, plan.at, rows, inputs, 2 * vector, &plan.whole, 1, plan.summed, to,
        plan.out.plane if at_once else 2 * vector, False)
    if at_once:
        return
    while i < count:
        run = run_of(plan, first + i, count - i)
        p = (first + i) % plan.positions
        end = plan.place(&plan.out, p + run) if p + run < plan.positions else plan.out.plane
        to = out + plan.address(&plan.out, first + i, plan.groups * plan.channels, channel)
        for row in range(rows):
            put_row(
                sums + row * 2 * vector + i, run, to + row * plan.out.plane, plan.out.next,
                end - plan.place(&plan.out, p))
        i += run


cdef inline Py_ssize_t run_of(Pointwise plan, Py_ssize_t position, Py_ssize_t most) noexcept nogil:
    """How many positions lie in one row from this one on."""
    return min(most, plan.width - position % plan.width)


cdef inline void take_row(
    const real *source, Py_ssize_t next, Py_ssize_t first, Py_ssize_t count, real *panels, Py_ssize_t step
) noexcept nogil:
    """slot[first + i] = source[i * next] for i < count, where panels of slots lie so many numbers apart."""
    if real is float:
        float_take_row(source, next, first, count, panels, step)
    else:
        double_take_row(source, next, first, count, panels, step)


cdef inline void put_row(
    const real *row, Py_ssize_t count, real *to, Py_ssize_t next, Py_ssize_t end
) noexcept nogil:
    """to[i * next] = row[i] for i < count, and zeros between these and before `end`."""
    if real is float:
        float_put_row(row, count, to, next, end)
    else:
        double_put_row(row, count, to, next, end)
