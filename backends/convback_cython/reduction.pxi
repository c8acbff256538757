"""dw on register tiles (planned in reduction.py, which explains the terms).

An entry of dw is the sum over images and positions of

    dw[slot, row] = sum over n, t of  dy[slot, t] * x[unit, t * stride + tap]      row = (unit, tap), slot a filter

A tile of entries stays in registers while its sum runs over a block of positions; between blocks it lies in `sums`,
where the rows have the order of the weights.

1. dy of a block is packed in panels, so that the slots of a tile are neighbours in memory.
2. Where a tile has rows of several taps, the inputs are copied with their padding. Where all its rows have one tap, x
   is read in place, and positions that read padding are left out.
3. Threads share out the tiles; with lanes, the vectors of groups. Where these are few, the positions are divided into
   parts, always in the same way, and the sums of the parts are added in order at the end; so the result does not
   depend on the number of threads.
"""


cdef enum:
    ADDED_ROWS = 64  # rows of sums that one thread adds up and writes at a time


cdef class Reduction:
    """dw of one problem in C; `plan` is a `reduction.Reduction`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t weights, macs, panels, chunk, packed, slots, slot_step, parts, tiles, rows, image, taps
    cdef bint clipped
    cdef const Py_ssize_t[::1] panel_vecs, panel_group, vec_channel, vec_filled
    cdef const Py_ssize_t[::1] tap_at, tile_first, tile_weight, row_unit, row_tap, slot_weight

    def __cinit__(self, plan):
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.panels, self.chunk, self.slots = plan.panels, plan.chunk, plan.slots
        self.packed, self.weights, self.macs = plan.packed, plan.weights, plan.macs
        self.parts, self.tiles, self.rows = plan.parts, len(plan.tile_first) - 1, len(plan.row_unit)
        self.image, self.slot_step, self.clipped = plan.image, plan.slot_step, plan.clipped
        self.panel_vecs, self.panel_group = plan.panel_vecs, plan.panel_group
        self.vec_channel, self.vec_filled = plan.vec_channel, plan.vec_filled
        self.taps, self.tap_at, self.slot_weight = plan.taps, plan.tap_at, plan.slot_weight
        self.tile_first, self.tile_weight = plan.tile_first, plan.tile_weight
        self.row_unit, self.row_tap = plan.row_unit, plan.row_tap

    def run(self, dy, x, out, scratch, int threads):
        """Compute dw. `scratch` has the bytes that the plan says.

        Returns False where dw is not finite although it might be: where padding was multiplied by dy.
        """
        cdef Operands held = Operands(dy, x, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            return run_reduction(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_reduction(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef struct Work:
    Py_ssize_t panel, panels  # that are summed now
    Block block
    Py_ssize_t rows  # of positions, at most, of a block
    segment *segments  # [tap, row]: those of a part begin where its rows do
    Py_ssize_t *counts  # [tap, part]: how many; and of each tap the positions of a segment


cdef int run_reduction(
    Reduction plan, const real *dy, const real *x, real *out, real *scratch, int threads
) except -1:
    cdef Window window = plan.window
    cdef int copies = threads if window.lanes > 1 else 1
    cdef Py_ssize_t rows = plan.blocks.images * plan.blocks.size[0] * plan.blocks.size[1]
    cdef Py_ssize_t dy_size = in_lines(plan.packed * rows * plan.blocks.size[2] * plan.slots)
    cdef Py_ssize_t x_size = in_lines(plan.blocks.images * window.strides().n * window.copied)
    cdef real *sums = scratch
    cdef real *packed = sums + plan.parts * plan.chunk * plan.rows * plan.slots
    cdef real *copy = packed + copies * dy_size
    cdef Py_ssize_t block, item, items
    cdef Work work
    cdef Watch watch
    work.rows = rows
    work.segments = <segment *> (copy + copies * x_size)
    work.counts = <Py_ssize_t *> (work.segments + copies * plan.taps * in_lines(rows))
    work.panel = 0
    while work.panel < plan.panels:
        work.panels = min(plan.chunk, plan.panels - work.panel)
        if window.lanes > 1:
            items = plan.panel_group[work.panel + work.panels - 1] - plan.panel_group[work.panel] + 1
            items *= plan.parts
            watch = watching(items, plan.macs)
            with nogil:
                for item in prange(items, num_threads=threads, schedule="dynamic"):
                    if not watch.stopped:
                        sum_part(
                            plan, &work, dy, x, packed + threadid() * dy_size, copy + threadid() * x_size, sums,
                            threadid(), item // plan.parts, item % plan.parts)
                        look(&watch)
        else:
            watch = watching(plan.blocks.number(), plan.macs)
            with nogil:
                for block in range(plan.blocks.number()):
                    if not watch.stopped:
                        work.block = plan.blocks.at(block)
                        sum_block(plan, &work, dy, x, packed, copy, sums, block > 0, threads)
                        look(&watch)
        ended(&watch)
        items = (plan.rows + ADDED_ROWS - 1) // ADDED_ROWS
        with nogil:
            for item in prange(work.panels * items, num_threads=threads, schedule="static"):
                add_parts(plan, &work, sums, out, item // items, item % items * ADDED_ROWS)
        work.panel += work.panels
    return plan.clipped or all_finite(out, plan.weights, threads)


cdef void sum_block(
    Reduction plan, const Work *work, const real *dy, const real *x, real *packed, real *copy, real *sums, bint add,
    int threads,
) noexcept nogil:
    """Add the products of one block of positions, which threads share, to the sums."""
    cdef Py_ssize_t item, part, panel, tile, runs = runs_of(plan, work)
    dy += work.block.n * plan.image
    x += work.block.n * plan.window.image
    for item in prange(work.panels * runs, num_threads=threads, schedule="static"):
        pack_run(plan, work, dy, packed, work.panel, item // runs, item % runs)
    if plan.window.copied:
        runs = plan.window.size[0] * plan.window.units
        for item in prange(work.block.images * runs, num_threads=threads, schedule="static"):
            part, tile = item % plan.window.units, item // plan.window.units % plan.window.size[0]
            copy_plane(plan.window, x, copy, &work.block.start[0], item // runs, tile, part, part)
        x = copy
    for item in range(plan.taps):
        place_rows(plan, work, item, plan.parts)
    for item in prange(plan.parts * work.panels * plan.tiles, num_threads=threads, schedule="static"):
        part, panel = item // (plan.tiles * work.panels), item // plan.tiles % work.panels
        sum_entries(
            plan, work, x, packed, sums + (part * plan.chunk + panel) * plan.rows * plan.slots, work.panel, panel,
            item % plan.tiles, part, first_row(work, part, plan.parts), add,
        )


cdef void sum_part(
    Reduction plan, const Work *chunk, const real *dy, const real *x, real *packed, real *copy, real *sums, int thread,
    Py_ssize_t share, Py_ssize_t part,
) noexcept nogil:
    """The sums over one part of the blocks, for one vector of groups, on one thread."""
    cdef Work work = chunk[0]
    cdef Py_ssize_t blocks = plan.blocks.number()
    cdef Py_ssize_t group = plan.panel_group[chunk.panel] + share
    cdef Py_ssize_t panels = plan.panels // (plan.panel_group[plan.panels - 1] + 1)
    cdef Py_ssize_t first = max(chunk.panel, group * panels)
    cdef Py_ssize_t last = min(chunk.panel + chunk.panels, (group + 1) * panels)
    cdef Py_ssize_t block, panel, i
    work.segments += thread * in_lines(work.rows)
    work.counts += thread * (plan.parts + 1)
    sums += (part * plan.chunk + first - chunk.panel) * plan.rows * plan.slots
    for block in range(part * blocks // plan.parts, (part + 1) * blocks // plan.parts):
        work.block = plan.blocks.at(block)
        copy_rows(
            plan.window, x + work.block.n * plan.window.image, copy, &work.block.start[0], work.block.images, group)
        place_rows(plan, &work, 0, 1)
        for panel in range(last - first):
            for i in range(runs_of(plan, &work)):
                pack_run(plan, &work, dy + work.block.n * plan.image, packed, first, panel, i)
            for i in range(plan.tiles):
                sum_entries(
                    plan, &work, copy, packed, sums + panel * plan.rows * plan.slots, first, panel, i, 0, 0,
                    block > part * blocks // plan.parts,
                )


cdef inline Py_ssize_t first_row(const Work *work, Py_ssize_t part, Py_ssize_t parts) noexcept nogil:
    """The first row of positions of a part of a block."""
    return part * (work.block.images * work.block.size[0] * work.block.size[1]) // parts


cdef void place_rows(Reduction plan, const Work *work, Py_ssize_t tap, Py_ssize_t parts) noexcept nogil:
    """The rows of positions of a block as segments, part by part; if clipped, without positions that read padding."""
    cdef const Block *block = &work.block
    cdef const Py_ssize_t *at = &plan.tap_at[3 * tap]
    cdef const Py_ssize_t *step = &plan.blocks.step[0]
    cdef Strides strides = plan.window.strides()
    cdef segment *segments = work.segments + tap * in_lines(work.rows)
    cdef Py_ssize_t *counts = work.counts + tap * (plan.parts + 1)
    cdef Py_ssize_t depth = block.size[2], j = 0, s = 0, part, row, count, n, h, q, r
    if plan.clipped:
        s = block.start[2] + at[2]
        j = min(max(0, -floor_divided(s, step[2])), depth)
        depth = max(j, min(depth, -floor_divided(s - plan.window.extent[2], step[2]))) - j
        s += j * step[2]
    counts[plan.parts] = depth
    for part in range(parts):
        count = first_row(work, part, parts)
        for row in range(count, first_row(work, part + 1, parts)):
            n = row // (block.size[0] * block.size[1])
            h = row // block.size[1] % block.size[0]
            q, r = h * step[0], row % block.size[1] * step[1]
            if plan.clipped:
                q += block.start[0] + at[0]
                r += block.start[1] + at[1]
                if not (depth and 0 <= q < plan.window.extent[0] and 0 <= r < plan.window.extent[1]):
                    continue
            segments[count].a = n * strides.n + q * strides.q + r * strides.r + s * strides.s
            segments[count].b = row * block.size[2] + j
            count += 1
        counts[part] = count - first_row(work, part, parts)


cdef Py_ssize_t runs_of(Reduction plan, const Work *work) noexcept nogil:
    """Runs of neighbouring positions in a block: rows or, where these are whole, all rows of one depth."""
    cdef const Block *block = &work.block
    return block.images * block.size[0] * (block.size[1] if plan.blocks.size[2] < plan.blocks.count[2] else 1)


cdef void pack_run(
    Reduction plan, const Work *work, const real *dy, real *packed, Py_ssize_t first, Py_ssize_t panel, Py_ssize_t run
) noexcept nogil:
    """packed[position, slot] of one panel, counted from `first`, for one run."""
    cdef const Block *block = &work.block
    cdef Py_ssize_t size = block.size[1] * block.size[2]
    cdef Py_ssize_t space = plan.blocks.count[0] * plan.blocks.count[1] * plan.blocks.count[2]
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t vecs = plan.panel_vecs[first + panel]
    cdef Py_ssize_t n, h, i = 0, v, at
    cdef const real *end
    if plan.blocks.size[2] < plan.blocks.count[2]:
        size = block.size[2]
        i = run % block.size[1]
        run = run // block.size[1]
    n, h = run // block.size[0], run % block.size[0]
    at = (n * block.size[0] + h) * block.size[1] * block.size[2] + i * block.size[2]
    packed += panel * block.images * block.size[0] * block.size[1] * block.size[2] * plan.slots + at * vecs * vector
    dy += n * plan.image
    end = dy + plan.image
    dy += (
        ((block.first[0] + h) * plan.blocks.count[1] + block.first[1] + i) * plan.blocks.count[2] + block.first[2]
    )
    for v in range(vecs):
        interleave(
            dy + plan.vec_channel[2 * (first + panel) + v] * space, plan.slot_step * space,
            plan.vec_filled[2 * (first + panel) + v], size, end, packed + v * vector, vecs * vector,
        )


cdef void sum_entries(
    Reduction plan, const Work *work, const real *inputs, const real *packed, real *sums, Py_ssize_t first_panel,
    Py_ssize_t panel, Py_ssize_t tile, Py_ssize_t part, Py_ssize_t row, bint add,
) noexcept nogil:
    """Add what a part of the rows of positions, from `row` on, contributes to one tile of a panel.

    dy of the panel is packed as number `panel` from `first_panel` on; `sums` are those of the panel.
    """
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t vecs = plan.panel_vecs[first_panel + panel], tap = tile % plan.taps
    cdef Py_ssize_t first = plan.tile_first[tile], i
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t rows = plan.tile_first[tile + 1] - first
    cdef const Py_ssize_t *counts = work.counts + tap * (plan.parts + 1)
    cdef const Py_ssize_t *from_tap
    cdef Py_ssize_t[TILE_ROWS] at
    for i in range(rows):
        from_tap = &plan.row_tap[3 * (first + i)]
        at[i] = plan.row_unit[first + i] * strides.u
        at[i] += from_tap[0] * strides.q + from_tap[1] * strides.r + from_tap[2] * strides.s
    if plan.window.lanes == 1:
        inputs += plan.panel_group[first_panel + panel] * plan.window.depth * strides.u
    packed += panel * work.block.images * work.block.size[0] * work.block.size[1] * work.block.size[2] * plan.slots
    sum_tile(
        rows, vecs, plan.window.lanes > 1, inputs, at, plan.blocks.step[2] * strides.s, packed, width,
        work.segments + tap * in_lines(work.rows) + row, counts[part], counts[plan.parts],
        sums + plan.tile_weight[tile] * width, plan.taps * width, add,
    )


cdef inline Py_ssize_t floor_divided(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """a // b rounded down, for b > 0; C rounds towards zero."""
    return a // b if a >= 0 else -((-a + b - 1) // b)


cdef void add_parts(
    Reduction plan, const Work *work, real *sums, real *out, Py_ssize_t panel, Py_ssize_t first
) noexcept nogil:
    """Write some entries, from the row `first` on: the sums of their parts, in order."""
    cdef Py_ssize_t vecs = plan.panel_vecs[work.panel + panel]
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t rows = min(ADDED_ROWS, plan.rows - first), size = plan.chunk * plan.rows * plan.slots, part, i
    sums += panel * plan.rows * plan.slots + first * width
    for part in range(1, plan.parts):
        for i in range(rows * width):
            sums[i] += sums[part * size + i]
    put_strip(rows, vecs, sums, out + first, &plan.slot_weight[(work.panel + panel) * plan.slots])
