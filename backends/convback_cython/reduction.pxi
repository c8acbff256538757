"""dw on register tiles (planned in reduction.py, which explains the terms).

An entry of dw is the sum over images and positions of

    dw[slot, row] = sum over n, t of  dy[slot, t] * x[unit, t * stride + tap]      row = (unit, tap), slot a filter

A tile of entries stays in registers while its sum runs over a block of positions; between blocks it lies in `sums`.

1. dy of a block is packed in panels, so that the slots of a tile are neighbours in memory.
2. Where a tile has rows of several taps, the inputs are copied with their padding. Where all its rows have one tap, x
   is read in place, and positions that read padding are left out.
3. Threads share out the tiles; with lanes, the vectors of groups. Where these are few, the positions are divided into
   parts, always in the same way, and the sums of the parts are added in order at the end; so the result does not
   depend on the number of threads.
"""


cdef class Reduction:
    """dw of one problem in C; `plan` is a `reduction.Reduction`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t weights, macs, panels, chunk, packed, slots, slot_step, parts, tiles, rows, image
    cdef bint clipped
    cdef const Py_ssize_t[::1] panel_vecs, panel_group, vec_channel, vec_filled
    cdef const Py_ssize_t[::1] tile_first, row_unit, row_tap, row_weight, slot_weight

    def __cinit__(self, plan):
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.panels, self.chunk, self.slots = plan.panels, plan.chunk, plan.slots
        self.packed, self.weights, self.macs = plan.packed, plan.weights, plan.macs
        self.parts, self.tiles, self.rows = plan.parts, len(plan.tile_first) - 1, len(plan.row_unit)
        self.image, self.slot_step, self.clipped = plan.image, plan.slot_step, plan.clipped
        self.panel_vecs, self.panel_group = plan.panel_vecs, plan.panel_group
        self.vec_channel, self.vec_filled = plan.vec_channel, plan.vec_filled
        self.tile_first, self.row_unit, self.row_tap = plan.tile_first, plan.row_unit, plan.row_tap
        self.row_weight, self.slot_weight = plan.row_weight, plan.slot_weight

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
    cdef segment *segments = <segment *> (copy + copies * x_size)
    cdef Py_ssize_t block, item, items
    cdef Work work
    cdef Watch watch
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
                            segments + threadid() * in_lines(rows), item // plan.parts, item % plan.parts)
                        look(&watch)
        else:
            watch = watching(plan.blocks.number(), plan.macs)
            with nogil:
                for block in range(plan.blocks.number()):
                    if not watch.stopped:
                        work.block = plan.blocks.at(block)
                        sum_block(plan, &work, dy, x, packed, copy, sums, segments, rows, block > 0, threads)
                        look(&watch)
        ended(&watch)
        with nogil:
            for item in prange(work.panels * plan.tiles, num_threads=threads, schedule="static"):
                add_parts(plan, &work, sums, out, item // plan.tiles, item % plan.tiles)
        work.panel += work.panels
    return plan.clipped or all_finite(out, plan.weights, threads)


cdef void sum_block(
    Reduction plan, const Work *work, const real *dy, const real *x, real *packed, real *copy, real *sums,
    segment *segments, Py_ssize_t most_rows, bint add, int threads,
) noexcept nogil:
    """Add the products of one block of positions, which threads share, to the sums."""
    cdef Py_ssize_t item, part, panel, tile, rows = work.block.images * work.block.size[0] * work.block.size[1]
    cdef Py_ssize_t runs = runs_of(plan, work)
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
    for item in prange(plan.parts * work.panels * plan.tiles, num_threads=threads, schedule="static"):
        part, panel = item // (plan.tiles * work.panels), item // plan.tiles % work.panels
        sum_entries(
            plan, work, x, packed, sums, segments + threadid() * in_lines(most_rows), part, work.panel, panel, panel,
            item % plan.tiles, part * rows // plan.parts, (part + 1) * rows // plan.parts, add,
        )


cdef void sum_part(
    Reduction plan, const Work *chunk, const real *dy, const real *x, real *packed, real *copy, real *sums,
    segment *segments, Py_ssize_t share, Py_ssize_t part,
) noexcept nogil:
    """The sums over one part of the blocks, for one vector of groups, on one thread."""
    cdef Work work = chunk[0]
    cdef Py_ssize_t blocks = plan.blocks.number()
    cdef Py_ssize_t group = plan.panel_group[chunk.panel] + share
    cdef Py_ssize_t panels = plan.panels // (plan.panel_group[plan.panels - 1] + 1)
    cdef Py_ssize_t first = max(chunk.panel, group * panels)
    cdef Py_ssize_t last = min(chunk.panel + chunk.panels, (group + 1) * panels)
    cdef Py_ssize_t block, panel, i
    for block in range(part * blocks // plan.parts, (part + 1) * blocks // plan.parts):
        work.block = plan.blocks.at(block)
        copy_rows(
            plan.window, x + work.block.n * plan.window.image, copy, &work.block.start[0], work.block.images, group)
        for panel in range(last - first):
            for i in range(runs_of(plan, &work)):
                pack_run(plan, &work, dy + work.block.n * plan.image, packed, first, panel, i)
            for i in range(plan.tiles):
                sum_entries(
                    plan, &work, copy, packed, sums, segments, part, first, panel, first + panel - chunk.panel, i,
                    0, work.block.images * work.block.size[0] * work.block.size[1], block > part * blocks // plan.parts,
                )


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
    Reduction plan, const Work *work, const real *inputs, const real *packed, real *sums, segment *segments,
    Py_ssize_t part, Py_ssize_t first_panel, Py_ssize_t panel, Py_ssize_t summed, Py_ssize_t tile, Py_ssize_t row,
    Py_ssize_t end, bint add,
) noexcept nogil:
    """Add what the rows of positions from `row` to `end` contribute to one tile of a panel.

    dy of the panel is packed as number `panel` from `first_panel` on, and its sums are number `summed` of the chunk.
    """
    cdef const Block *block = &work.block
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t first = plan.tile_first[tile]
    cdef Py_ssize_t vecs = plan.panel_vecs[first_panel + panel]
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t[TILE_ROWS] at
    cdef Py_ssize_t i, n, h, depth, count = 0, j = 0, q, r
    cdef const Py_ssize_t *tap
    cdef Py_ssize_t base = 0
    if plan.window.lanes == 1:
        base = plan.panel_group[first_panel + panel] * plan.window.depth * strides.u
    for i in range(plan.tile_first[tile + 1] - first):
        tap = &plan.row_tap[3 * (first + i)]
        at[i] = plan.row_unit[first + i] * strides.u
        if not plan.clipped:
            at[i] += tap[0] * strides.q + tap[1] * strides.r + tap[2] * strides.s
    depth = block.size[2]
    tap = &plan.row_tap[3 * first]
    if plan.clipped:  # all rows have this tap, which counts from the origin
        i = block.start[2] + tap[2]
        j = min(max(0, -floor_divided(i, plan.blocks.step[2])), depth)
        depth = max(j, min(depth, -floor_divided(i - plan.window.extent[2], plan.blocks.step[2]))) - j
        base += (i + j * plan.blocks.step[2]) * strides.s
    if depth:
        for row in range(row, end):
            n = row // (block.size[0] * block.size[1])
            h = row // block.size[1] % block.size[0]
            i = row % block.size[1]
            q, r = h * plan.blocks.step[0], i * plan.blocks.step[1]
            if plan.clipped:
                q += block.start[0] + tap[0]
                r += block.start[1] + tap[1]
                if not (0 <= q < plan.window.extent[0] and 0 <= r < plan.window.extent[1]):
                    continue
            segments[count].a = base + n * strides.n + q * strides.q + r * strides.r
            segments[count].b = row * block.size[2] + j
            count += 1
    packed += panel * block.images * block.size[0] * block.size[1] * block.size[2] * plan.slots
    sums += ((part * plan.chunk + summed) * plan.rows + first) * plan.slots
    sum_tile(
        plan.tile_first[tile + 1] - first, vecs, plan.window.lanes > 1, inputs, at, plan.blocks.step[2] * strides.s,
        packed, width, segments, count, depth, sums, width, add,
    )


cdef inline Py_ssize_t floor_divided(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """a // b rounded down, for b > 0; C rounds towards zero."""
    return a // b if a >= 0 else -((-a + b - 1) // b)


cdef void add_parts(
    Reduction plan, const Work *work, const real *sums, real *out, Py_ssize_t panel, Py_ssize_t tile
) noexcept nogil:
    """Write the entries of one tile: the sums of their parts, in order."""
    cdef Py_ssize_t width = plan.panel_vecs[work.panel + panel] * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t first = plan.tile_first[tile]
    cdef Py_ssize_t row, slot, part, at
    cdef Py_ssize_t size = plan.chunk * plan.rows * plan.slots
    cdef real total
    sums += (panel * plan.rows + first) * plan.slots
    for slot in range(width):
        at = plan.slot_weight[(work.panel + panel) * plan.slots + slot]
        if at < 0:
            continue
        for row in range(plan.tile_first[tile + 1] - first):
            total = 0
            for part in range(plan.parts):
                total += sums[part * size + row * width + slot]
            out[at + plan.row_weight[first + row]] = total
