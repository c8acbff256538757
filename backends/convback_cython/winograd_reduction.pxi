"""dw by Winograd's F(3x3, 4x4) (planned in winograd.py, which explains the terms).

A filter gradient is a correlation of x with dy. Taken in tiles of 4 x 4 numbers of dy, which meet windows of 6 x 6 of
x, it is the sum of all tiles' products at the points, brought back from the points once. For every pair of points

    sums[point, filter, channel] = sum over tiles  gradients[point, tile, filter] * inputs[point, tile, channel]

1. Threads put a block of tiles, of x and of dy, at the points; vectors of channels are shared out.
2. Threads share out groups of filters and channels. A group is summed over the whole block, point by point, brought
   back, and added to dw.

Blocks do not depend on the number of threads, and are added in order; so the result does not either.
"""

cdef extern from "microkernel.h":
    void float_squares_at_points(
        const float *source, Py_ssize_t row_step, Py_ssize_t rows, Py_ssize_t tiles, float *out, Py_ssize_t point_step,
        Py_ssize_t tile_step) nogil
    void double_squares_at_points(
        const double *source, Py_ssize_t row_step, Py_ssize_t rows, Py_ssize_t tiles, double *out,
        Py_ssize_t point_step, Py_ssize_t tile_step) nogil
    int float_weights_from_points(const float *m, Py_ssize_t point_step, float *out) nogil
    int double_weights_from_points(const double *m, Py_ssize_t point_step, double *out) nogil


cdef class WinogradReduction:
    """dw of one problem in C; `plan` is a `winograd.Products`."""

    cdef Window window, dy_window
    cdef Blocks blocks
    cdef Py_ssize_t taps, spacing, channels, filters, units, dy_units, slots, panels, image, macs
    cdef Py_ssize_t input_step, gradient_step, sum_step, copied, group_filters, group_panels

    def __cinit__(self, plan):
        self.window, self.dy_window, self.blocks = Window(plan.window), Window(plan.dy_window), Blocks(plan)
        self.taps, self.spacing, self.channels, self.filters = plan.taps, plan.spacing, plan.channels, plan.filters
        self.units, self.dy_units, self.slots, self.panels = plan.units, plan.dy_units, plan.slots, plan.panels
        self.image, self.macs, self.copied = plan.image, plan.macs, plan.copied
        self.input_step, self.gradient_step, self.sum_step = plan.input_step, plan.gradient_step, plan.sum_step
        self.group_filters, self.group_panels = plan.group_filters, plan.group_panels

    def run(self, dy, x, out, scratch, int threads):
        """Compute dw. `scratch` has the bytes that the plan says.

        Returns False where something is not finite: that spreads to all taps.
        """
        cdef Operands held = Operands(dy, x, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            return run_winograd_reduction(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_winograd_reduction(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef int run_winograd_reduction(
    WinogradReduction plan, const real *dy, const real *x, real *out, real *scratch, int threads
) except -1:
    cdef real *inputs = scratch
    cdef real *gradients = inputs + in_lines(POINTS * plan.input_step)
    cdef real *own = gradients + in_lines(POINTS * plan.gradient_step)
    cdef Py_ssize_t own_step = in_lines(max(plan.copied, POINTS * plan.sum_step))
    cdef Py_ssize_t filter_groups = (plan.filters + plan.group_filters - 1) // plan.group_filters
    cdef Py_ssize_t groups = (plan.panels + plan.group_panels - 1) // plan.group_panels * filter_groups
    cdef Py_ssize_t number, item, slices
    cdef int spoilt = False
    cdef Block block
    cdef Watch watch = watching(plan.blocks.number() * plan.taps * groups, plan.macs)
    with nogil:
        for number in range(plan.blocks.number()):
            if watch.stopped:
                break
            block = plan.blocks.at(number)
            slices = block.size[0] + (plan.taps - 1) * plan.spacing
            for item in prange(block.images * slices * plan.units, num_threads=threads, schedule="static"):
                put_windows(plan, &block, x, own + threadid() * own_step, inputs, item)
            for item in prange(block.images * block.size[0] * plan.dy_units, num_threads=threads, schedule="static"):
                put_squares(plan, &block, dy, own + threadid() * own_step, gradients, item)
            for item in prange(plan.taps * groups, num_threads=threads, schedule="dynamic"):
                if not watch.stopped:
                    sum_group(plan, &block, gradients, inputs, own + threadid() * own_step, out, item // groups,
                              item % groups // filter_groups, item % groups % filter_groups, number > 0, &spoilt)
                    look(&watch)
    ended(&watch)
    return not spoilt


cdef void put_windows(
    WinogradReduction plan, const Block *block, const real *x, real *copy, real *inputs, Py_ssize_t item
) noexcept nogil:
    """inputs[point, panel, image, q, tile, slot]: one image, depth and vector of channels."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), layer = block.size[1] * block.size[2]
    cdef Py_ssize_t slices = block.size[0] + (plan.taps - 1) * plan.spacing
    cdef Py_ssize_t unit = item % plan.units, q = item // plan.units % slices, n = item // (plan.units * slices)
    cdef Py_ssize_t[3] start
    start[0], start[1], start[2] = block.start[0] + q, block.start[1], block.start[2]
    copy_plane(plan.window, x + (block.n + n) * plan.window.image, copy, start, 0, 0, 0, unit)
    windows_at_points(
        copy, plan.window.size[2] * vector, block.size[1], block.size[2],
        inputs + (unit // 2 * block.images * slices + n * slices + q) * layer * plan.slots + unit % 2 * vector,
        plan.input_step, plan.slots,
    )


cdef void put_squares(
    WinogradReduction plan, const Block *block, const real *dy, real *copy, real *gradients, Py_ssize_t item
) noexcept nogil:
    """gradients[point, vector of filters, image, h, tile, lane]: one image, depth and vector."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), layer = block.size[1] * block.size[2]
    cdef Py_ssize_t unit = item % plan.dy_units, h = item // plan.dy_units % block.size[0]
    cdef Py_ssize_t n = item // (plan.dy_units * block.size[0]), row_step = plan.dy_window.size[2] * vector
    cdef Py_ssize_t[3] start
    start[0], start[1], start[2] = block.first[0] + h, 4 * block.first[1], 4 * block.first[2]
    copy_plane(plan.dy_window, dy + (block.n + n) * plan.image, copy, start, 0, 0, 0, unit)
    gradients += ((unit * block.images + n) * block.size[0] + h) * layer * vector
    if real is float:
        float_squares_at_points(copy, row_step, block.size[1], block.size[2], gradients, plan.gradient_step, vector)
    else:
        double_squares_at_points(copy, row_step, block.size[1], block.size[2], gradients, plan.gradient_step, vector)


cdef void sum_group(
    WinogradReduction plan, const Block *block, const real *gradients, const real *inputs, real *sums, real *out,
    Py_ssize_t tap, Py_ssize_t channel_group, Py_ssize_t filter_group, bint add, int *spoilt,
) noexcept nogil:
    """A group of filters and channels, at one tap of the depth, over one block."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), layer = block.size[1] * block.size[2]
    cdef Py_ssize_t slices = block.size[0] + (plan.taps - 1) * plan.spacing
    cdef Py_ssize_t f0 = filter_group * plan.group_filters, filters = min(plan.group_filters, plan.filters - f0)
    cdef Py_ssize_t p0 = channel_group * plan.group_panels, panels = min(plan.group_panels, plan.panels - p0)
    cdef Py_ssize_t tiles = (filters + TILE_ROWS - 1) // TILE_ROWS, width = plan.group_panels * plan.slots
    cdef Py_ssize_t positions = block.images * block.size[0] * layer
    # With taps of the depth each image has more slices of inputs than of gradients; else all images are one run.
    cdef Py_ssize_t runs = block.images if plan.taps > 1 else 1, run, rows
    cdef Py_ssize_t point, tile, i, f, p, first
    cdef Py_ssize_t[TILE_ROWS] at
    cdef segment tiles_of_run
    for point in range(POINTS):
        for tile in range(tiles):
            first = tile * filters // tiles
            rows = (tile + 1) * filters // tiles - first
            for i in range(rows):
                f = f0 + first + i
                at[i] = f // vector * positions * vector + f % vector
            for p in range(panels):
                for run in range(runs):
                    tiles_of_run.a = run * block.size[0] * layer * vector
                    tiles_of_run.b = (run * slices + tap * plan.spacing) * layer
                    sum_tile(
                        rows, vectors_of(plan, p0 + p, vector), 0, gradients + point * plan.gradient_step, at, vector,
                        inputs + point * plan.input_step + (p0 + p) * block.images * slices * layer * plan.slots,
                        plan.slots, &tiles_of_run, 1, positions // runs,
                        sums + point * plan.sum_step + first * width + p * plan.slots, width, run > 0,
                    )
    for f in range(filters):
        for i in range(min(2 * panels, plan.units - 2 * p0)):
            if not put_gradient(plan, sums + f * width + i * vector, out, tap, f0 + f, (2 * p0 + i) * vector, add):
                spoilt[0] = True


cdef inline int vectors_of(WinogradReduction plan, Py_ssize_t panel, Py_ssize_t vector) noexcept nogil:
    return 2 if panel * plan.slots + vector < plan.channels else 1


cdef bint put_gradient(
    WinogradReduction plan, const real *sums, real *out, Py_ssize_t tap, Py_ssize_t f, Py_ssize_t c, bint add
) noexcept nogil:
    """The nine entries of one filter and a vector of channels, from the points; whether they are finite."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real), lane, entry
    cdef Py_ssize_t filled = min(vector, plan.channels - c)
    cdef bint finite
    cdef real[PACKED_WEIGHTS] nine
    cdef Py_ssize_t[SLOTS] to
    if real is float:
        finite = float_weights_from_points(sums, plan.sum_step, nine)
    else:
        finite = double_weights_from_points(sums, plan.sum_step, nine)
    out += ((f * plan.channels + c) * plan.taps + tap) * NINE
    if add:
        for lane in range(filled):
            for entry in range(NINE):
                out[lane * plan.taps * NINE + entry] += nine[entry * vector + lane]
        return finite
    for lane in range(vector):
        to[lane] = lane * plan.taps * NINE if lane < filled else -1
    put_strip(NINE, 1, nine, out, to)
    return finite
