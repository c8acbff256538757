"""y and dx by Winograd's F(4x4, 3x3) (planned in winograd.py, which explains the terms).

Four outputs of an axis are read off a product of two polynomials, which is taken at six points. So for every tile of
4 x 4 outputs, slot (an output channel) and pair of points

    product[point, slot] = sum over taps of the depth, ci of  inputs[point, tap, ci] * weights[point, tap, ci, slot]

which is 36 products of matrices, on the register tiles of `gather.pxi`.

1. The weights at the points are packed in panels.
2. A thread takes a block of tiles. It copies the inputs of a vector of channels with their padding, and puts them at
   the points, one vector after another.
3. It multiplies, point by point, and goes back from the points to rows of outputs.

Where weights are more than inputs, it is the inputs that are put at the points first, all of them, and a thread takes
some panels: so what is larger never leaves its cache.

No sum is split, and each runs in one order, so the result does not depend on the number of threads.
"""

cdef extern from "microkernel.h":
    void float_windows_at_points(
        const float *source, Py_ssize_t row_step, Py_ssize_t rows, Py_ssize_t tiles, float *out, Py_ssize_t point_step,
        Py_ssize_t tile_step) nogil
    void double_windows_at_points(
        const double *source, Py_ssize_t row_step, Py_ssize_t rows, Py_ssize_t tiles, double *out,
        Py_ssize_t point_step, Py_ssize_t tile_step) nogil
    void float_weights_at_points(const float *w, int flipped, float *out, Py_ssize_t point_step) nogil
    void double_weights_at_points(const double *w, int flipped, double *out, Py_ssize_t point_step) nogil
    void prefetch(const void *from_, Py_ssize_t size) nogil
    int float_outputs_from_points(
        const float *m, Py_ssize_t point_step, Py_ssize_t tile_step, Py_ssize_t tiles, float *out,
        Py_ssize_t row_step) nogil
    int double_outputs_from_points(
        const double *m, Py_ssize_t point_step, Py_ssize_t tile_step, Py_ssize_t tiles, double *out,
        Py_ssize_t row_step) nogil

cdef enum:
    POINTS = 36
    NINE = 9  # taps of a filter and channel at one depth
    MOST_DEPTHS = 16  # taps along the depth
    TERMS_AHEAD = 8  # whose weights are fetched


cdef class Winograd:
    """y or dx of one problem in C; `plan` is a `winograd.Tiles`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t taps, spacing, depth, units, panels, chunk, slots, slot_step, term_step, weights, image, macs
    cdef Py_ssize_t weight_step, input_step, product_step, copied, rows, own_panels
    cdef bint flipped, inputs_first
    cdef Py_ssize_t[3] out
    cdef const Py_ssize_t[::1] panel_vecs, slot_out

    def __cinit__(self, plan):
        cdef int axis
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.taps, self.spacing, self.depth, self.units = plan.taps, plan.spacing, plan.depth, plan.units
        self.panels, self.chunk, self.slots = plan.panels, plan.chunk, plan.slots
        self.slot_step, self.term_step, self.flipped = plan.slot_step, plan.term_step, plan.flipped
        self.weights, self.image, self.macs = plan.weights, plan.image, plan.macs
        self.weight_step, self.input_step, self.product_step = plan.weight_step, plan.input_step, plan.product_step
        self.copied, self.rows = plan.copied, plan.rows
        for axis in range(3):
            self.out[axis] = plan.out[axis]
        self.panel_vecs, self.slot_out = plan.panel_vecs, plan.slot_out
        self.inputs_first, self.own_panels = plan.inputs_first, plan.own_panels

    def run(self, source, weights, out, scratch, int threads):
        """Compute all of `out`. `scratch` has the bytes that the plan says.

        Returns False where something is not finite: that spreads to all of its tile, also where it is no term.
        """
        cdef Operands held = Operands(source, weights, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            return run_winograd(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_winograd(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef int run_winograd(
    Winograd plan, const real *source, const real *weights, real *out, real *scratch, int threads
) except -1:
    """The shared memory comes first, then what each thread owns: a copy, rows, products, and inputs or weights."""
    cdef Py_ssize_t blocks = plan.blocks.number()
    cdef Py_ssize_t panel_size = POINTS * plan.weight_step, block_size = in_lines(POINTS * plan.input_step)
    cdef Py_ssize_t copy_size = in_lines(plan.copied), row_size = in_lines(plan.rows)
    cdef Py_ssize_t own_size = copy_size + row_size + in_lines(POINTS * plan.product_step)
    cdef Py_ssize_t first = 0, panels, item, items
    cdef real *own
    cdef int spoilt = False
    cdef Watch watch
    if plan.inputs_first:
        own = scratch + blocks * block_size
        own_size += plan.own_panels * panel_size
        items = (plan.panels + plan.own_panels - 1) // plan.own_panels
        watch = watching(items, plan.macs)
        with nogil:
            for item in prange(blocks, num_threads=threads, schedule="static"):
                put_inputs(plan, item, source, own + threadid() * own_size, scratch + item * block_size)
            for item in prange(items, num_threads=threads, schedule="dynamic"):
                if not watch.stopped:
                    winograd_panels(
                        plan, scratch, block_size, weights, out, own + threadid() * own_size + copy_size,
                        item * plan.own_panels, &spoilt)
                    look(&watch)
        ended(&watch)
        return not spoilt
    own = scratch + plan.chunk * panel_size
    own_size += block_size
    while first < plan.panels:
        panels = min(plan.chunk, plan.panels - first)
        watch = watching(blocks, plan.macs)
        with nogil:
            for item in prange(panels * plan.taps * plan.depth, num_threads=threads, schedule="static"):
                put_weights(plan, weights, scratch, first, item)
            for item in prange(blocks, num_threads=threads, schedule="dynamic"):
                if not watch.stopped:
                    winograd_block(
                        plan, item, source, scratch, own + threadid() * own_size, out, first, panels, &spoilt)
                    look(&watch)
        ended(&watch)
        first += panels
    return not spoilt


cdef void winograd_block(
    Winograd plan, Py_ssize_t item, const real *source, const real *packed, real *own, real *out, Py_ssize_t panel,
    Py_ssize_t panels, int *spoilt,
) noexcept nogil:
    """One block of tiles, for some panels whose weights are at the points, on one thread."""
    cdef real *rows = own + in_lines(plan.copied)
    cdef real *products = rows + in_lines(plan.rows)
    cdef real *inputs = products + in_lines(POINTS * plan.product_step)
    cdef Block block = plan.blocks.at(item)
    put_inputs(plan, item, source, own, inputs)
    multiply_points(plan, &block, inputs, packed, products, panel, panels)
    put_outputs(plan, &block, products, rows, out, panel, panels, spoilt)


cdef void winograd_panels(
    Winograd plan, const real *inputs, Py_ssize_t block_size, const real *weights, real *out, real *rows,
    Py_ssize_t panel, int *spoilt,
) noexcept nogil:
    """Some panels, for all blocks, whose inputs are at the points, on one thread."""
    cdef real *products = rows + in_lines(plan.rows)
    cdef real *packed = products + in_lines(POINTS * plan.product_step)
    cdef Py_ssize_t panels = min(plan.own_panels, plan.panels - panel), item
    cdef Block block
    for item in range(panels * plan.taps * plan.depth):
        put_weights(plan, weights, packed, panel, item)
    for item in range(plan.blocks.number()):
        block = plan.blocks.at(item)
        multiply_points(plan, &block, inputs + item * block_size, packed, products, panel, panels)
        put_outputs(plan, &block, products, rows, out, panel, panels, spoilt)


cdef void put_weights(
    Winograd plan, const real *weights, real *packed, Py_ssize_t panel, Py_ssize_t item
) noexcept nogil:
    """packed[panel, point, term, slot]: one panel, counted from `panel`, and term, a tap of the depth and ci."""
    cdef Py_ssize_t term = item % (plan.taps * plan.depth)
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), v, slot, tap = term // plan.depth
    cdef const real *end = weights + plan.weights
    cdef real[PACKED_WEIGHTS] nine
    weights += term % plan.depth * plan.term_step + (plan.taps - 1 - tap if plan.flipped else tap) * NINE
    packed += item // (plan.taps * plan.depth) * POINTS * plan.weight_step + term * plan.slots
    panel += item // (plan.taps * plan.depth)
    for v in range(plan.panel_vecs[panel]):
        slot = panel * plan.slots + v * vector
        if plan.flipped:  # terms lie far apart
            prefetch(weights + slot * plan.slot_step + TERMS_AHEAD * plan.term_step, NINE * VECTOR_BYTES)
        interleave(
            weights + slot * plan.slot_step, plan.slot_step, filled_slots(plan, slot, vector), NINE, end, nine, vector,
        )
        if real is float:
            float_weights_at_points(nine, plan.flipped, packed + v * vector, plan.weight_step)
        else:
            double_weights_at_points(nine, plan.flipped, packed + v * vector, plan.weight_step)


cdef inline Py_ssize_t filled_slots(Winograd plan, Py_ssize_t slot, Py_ssize_t vector) noexcept nogil:
    cdef Py_ssize_t filled = 0
    while filled < vector and plan.slot_out[slot + filled] >= 0:
        filled += 1
    return filled


cdef void put_inputs(Winograd plan, Py_ssize_t item, const real *source, real *copy, real *inputs) noexcept nogil:
    """inputs[point, image, q, tile, channel] of a block."""
    cdef Block block = plan.blocks.at(item)
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), channels = plan.units * vector
    cdef Py_ssize_t slices = block.size[0] + (plan.taps - 1) * plan.spacing, tiles = block.size[1] * block.size[2]
    cdef Py_ssize_t n, q, unit
    cdef Py_ssize_t[3] start
    start[1], start[2] = block.start[1], block.start[2]
    source += block.n * plan.window.image
    for n in range(block.images):
        for q in range(slices):
            start[0] = block.start[0] + q
            for unit in range(plan.units):
                copy_plane(plan.window, source + n * plan.window.image, copy, start, 0, 0, 0, unit)
                windows_at_points(
                    copy, plan.window.size[2] * vector, block.size[1], block.size[2],
                    inputs + (n * slices + q) * tiles * channels + unit * vector, plan.input_step, channels,
                )


cdef inline void windows_at_points(
    const real *source, Py_ssize_t row_step, Py_ssize_t rows, Py_ssize_t tiles, real *out, Py_ssize_t point_step,
    Py_ssize_t tile_step,
) noexcept nogil:
    if real is float:
        float_windows_at_points(source, row_step, rows, tiles, out, point_step, tile_step)
    else:
        double_windows_at_points(source, row_step, rows, tiles, out, point_step, tile_step)


cdef void multiply_points(
    Winograd plan, const Block *block, const real *inputs, const real *packed, real *products, Py_ssize_t panel,
    Py_ssize_t panels,
) noexcept nogil:
    """products[point, position, slot] of a block, a position being an image, a depth and a tile."""
    cdef Py_ssize_t channels = plan.units * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t layer = block.size[1] * block.size[2]
    cdef Py_ssize_t slices = block.size[0] + (plan.taps - 1) * plan.spacing
    cdef Py_ssize_t positions = block.images * block.size[0] * layer, tiles = (positions + TILE_ROWS - 1) // TILE_ROWS
    cdef Py_ssize_t width = panels * plan.slots
    cdef Py_ssize_t point, i, tile, first, rows, p, tap
    cdef Py_ssize_t[TILE_ROWS] at
    cdef segment[MOST_DEPTHS] segments
    for tap in range(plan.taps):
        segments[tap].a = tap * plan.spacing * layer * channels
        segments[tap].b = tap * plan.depth
    for point in range(POINTS):
        for tile in range(tiles):
            first = tile * positions // tiles
            rows = (tile + 1) * positions // tiles - first
            for i in range(rows):
                p = first + i
                at[i] = (p // (block.size[0] * layer) * slices * layer + p % (block.size[0] * layer)) * channels
            for p in range(panels):
                sum_tile(
                    rows, plan.panel_vecs[panel + p], 0, inputs + point * plan.input_step, at, 1,
                    packed + (p * POINTS + point) * plan.weight_step, plan.slots, segments, plan.taps, plan.depth,
                    products + point * plan.product_step + first * width + p * plan.slots, width, 0,
                )


cdef void put_outputs(
    Winograd plan, const Block *block, const real *products, real *rows, real *out, Py_ssize_t panel,
    Py_ssize_t panels, int *spoilt,
) noexcept nogil:
    """From the points to the outputs of a block; `spoilt` is set where one is not finite."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t width = panels * plan.slots, row_step = 4 * block.size[2] * vector
    cdef Py_ssize_t tile_row, n, h, i, p, v, to
    cdef Py_ssize_t s = 4 * block.first[2], r
    cdef Py_ssize_t count = min(plan.out[2] - s, 4 * block.size[2])
    out += block.n * plan.image
    for tile_row in range(block.images * block.size[0] * block.size[1]):
        n = tile_row // (block.size[0] * block.size[1])
        h = block.first[0] + tile_row // block.size[1] % block.size[0]
        r = 4 * (block.first[1] + tile_row % block.size[1])
        to = n * plan.image + (h * plan.out[1] + r) * plan.out[2] + s
        for p in range(panels):
            for v in range(plan.panel_vecs[panel + p]):
                if not outputs_from_points(
                    products + tile_row * block.size[2] * width + p * plan.slots + v * vector, plan.product_step, width,
                    block.size[2], rows, row_step,
                ):
                    spoilt[0] = True
                for i in range(min(4, plan.out[1] - r)):
                    put_strip(
                        count, 1, rows + i * row_step, out + to + i * plan.out[2],
                        &plan.slot_out[(panel + p) * plan.slots + v * vector],
                    )


cdef inline bint outputs_from_points(
    const real *m, Py_ssize_t point_step, Py_ssize_t tile_step, Py_ssize_t tiles, real *out, Py_ssize_t row_step
) noexcept nogil:
    if real is float:
        return float_outputs_from_points(m, point_step, tile_step, tiles, out, row_step)
    else:
        return double_outputs_from_points(m, point_step, tile_step, tiles, out, row_step)
