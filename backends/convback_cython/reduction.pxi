"""dw on register tiles (planned in reduction.py, which explains the terms).

An entry of dw is the sum over images and positions of

    dw[slot, row] = sum over n, t of  dy[slot, t] * x[unit, t * stride + tap]      row = (unit, tap), slot a filter

A tile of entries stays in registers while its sum runs over a block of positions; between blocks it lies in `sums`.

1. dy of a block is packed in panels, so that the slots of a tile are neighbours in memory.
2. Where a tile has rows of several taps, the inputs are copied with their padding. Where all its rows have one tap, x is
   read in place, and positions that read padding are left out.
3. Threads share out the tiles. Where these are few, the positions of a block are divided into parts, always in the
   same way, and the sums of the parts are added in order at the end; so the result does not depend on threads.
"""


cdef class Reduction:
    """dw of one problem in C; `plan` is a `reduction.Reduction`."""

    cdef Window window
    cdef Py_ssize_t N, panels, chunk, slots, slot_step, block_images, parts, tiles, rows, image
    cdef bint clipped
    cdef Py_ssize_t[3] count, step, origin, block
    cdef const Py_ssize_t[::1] panel_vecs, panel_group, vec_channel, vec_filled
    cdef const Py_ssize_t[::1] tile_first, row_unit, row_tap, row_weight, slot_weight

    def __cinit__(self, plan):
        cdef int axis
        self.window = Window(plan.window)
        self.N, self.panels, self.chunk, self.slots = plan.N, plan.panels, plan.chunk, plan.slots
        self.block_images, self.parts = plan.block[0], plan.parts
        self.tiles, self.rows = len(plan.tile_first) - 1, len(plan.row_unit)
        self.image, self.slot_step, self.clipped = plan.image, plan.slot_step, plan.clipped
        for axis in range(3):
            self.count[axis], self.step[axis] = plan.count[axis], plan.step[axis]
            self.origin[axis], self.block[axis] = plan.origin[axis], plan.block[1 + axis]
        self.panel_vecs, self.panel_group = plan.panel_vecs, plan.panel_group
        self.vec_channel, self.vec_filled = plan.vec_channel, plan.vec_filled
        self.tile_first, self.row_unit, self.row_tap = plan.tile_first, plan.row_unit, plan.row_tap
        self.row_weight, self.slot_weight = plan.row_weight, plan.slot_weight

    def run(self, dy, x, out, scratch, int threads):
        """Compute dw. `scratch` has the bytes that the plan says."""
        cdef Operands held = Operands(dy, x, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            run_reduction(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            run_reduction(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef struct Work:
    Py_ssize_t panel, panels, images
    Py_ssize_t[3] first, size  # positions of the block
    bint add  # to what earlier blocks have summed


cdef int run_reduction(
    Reduction plan, const real *dy, const real *x, real *out, real *scratch, int threads
) except -1:
    cdef Window window = plan.window
    cdef Py_ssize_t chunk = min(plan.chunk, plan.panels)
    cdef Py_ssize_t positions = plan.block_images * plan.block[0] * plan.block[1] * plan.block[2]
    cdef real *sums = scratch
    cdef real *packed = sums + plan.parts * chunk * plan.rows * plan.slots
    cdef real *copy = packed + chunk * positions * plan.slots
    cdef segment *segments = <segment *> (copy + plan.block_images * window.strides().n * window.copied)
    cdef Py_ssize_t[3] blocks
    cdef Py_ssize_t n, block, item
    cdef int axis
    cdef Work work
    for axis in range(3):
        blocks[axis] = (plan.count[axis] + plan.block[axis] - 1) // plan.block[axis]
    work.panel = 0
    while work.panel < plan.panels:
        work.panels = min(chunk, plan.panels - work.panel)
        work.add = False
        n = 0
        while n < plan.N:
            work.images = min(plan.block_images, plan.N - n)
            for block in range(blocks[0] * blocks[1] * blocks[2]):
                work.first[0] = block // (blocks[2] * blocks[1]) * plan.block[0]
                work.first[1] = block // blocks[2] % blocks[1] * plan.block[1]
                work.first[2] = block % blocks[2] * plan.block[2]
                for axis in range(3):
                    work.size[axis] = min(plan.block[axis], plan.count[axis] - work.first[axis])
                with nogil:
                    sum_block(
                        plan, &work, dy + n * plan.image, x + n * window.image, packed, copy, sums, segments, threads)
                work.add = True
                PyErr_CheckSignals()
            n += work.images
        with nogil:
            for item in prange(work.panels * plan.tiles, num_threads=threads, schedule="static"):
                add_parts(plan, &work, sums, out, item // plan.tiles, item % plan.tiles)
        work.panel += work.panels
    return 0


cdef void sum_block(
    Reduction plan, const Work *work, const real *dy, const real *x, real *packed, real *copy, real *sums,
    segment *segments, int threads,
) noexcept nogil:
    """Add the products of one block of positions to the sums."""
    cdef Py_ssize_t[3] start
    cdef Py_ssize_t item, rows = work.images * work.size[0] * work.size[1]
    cdef Py_ssize_t most = plan.block_images * plan.block[0] * plan.block[1]
    cdef Py_ssize_t runs = work.images * work.size[0]
    cdef const real *inputs = x
    cdef int axis
    if plan.block[2] < plan.count[2]:
        runs *= work.size[1]
    for item in prange(work.panels * runs, num_threads=threads, schedule="static"):
        pack_run(plan, work, dy, packed, item // runs, item % runs, runs)
    if plan.window.copied:
        for axis in range(3):
            start[axis] = work.first[axis] * plan.step[axis] + plan.origin[axis]
        copy_rows(plan.window, x, copy, start, work.images, threads)
        inputs = copy
    for item in prange(plan.parts * work.panels * plan.tiles, num_threads=threads, schedule="static"):
        sum_entries(
            plan, work, inputs, packed, sums, segments + threadid() * most, item // (plan.tiles * work.panels),
            item // plan.tiles % work.panels, item % plan.tiles, rows,
        )


cdef void pack_run(
    Reduction plan, const Work *work, const real *dy, real *packed, Py_ssize_t panel, Py_ssize_t run, Py_ssize_t runs
) noexcept nogil:
    """packed[position, slot] of one panel, for a run of neighbouring positions: a row, or all rows of one depth."""
    cdef Py_ssize_t size = work.size[1] * work.size[2]
    cdef Py_ssize_t space = plan.count[0] * plan.count[1] * plan.count[2]
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t vecs = plan.panel_vecs[work.panel + panel]
    cdef Py_ssize_t n, h, i = 0, v, at
    if plan.block[2] < plan.count[2]:
        size = work.size[2]
        i = run % work.size[1]
        run = run // work.size[1]
    n, h = run // work.size[0], run % work.size[0]
    at = (n * work.size[0] + h) * work.size[1] * work.size[2] + i * work.size[2]
    packed += panel * work.images * work.size[0] * work.size[1] * work.size[2] * plan.slots + at * vecs * vector
    dy += n * plan.image + (
        (work.first[0] + h) * plan.count[1] + work.first[1] + i) * plan.count[2] + work.first[2]
    for v in range(vecs):
        interleave(
            dy + plan.vec_channel[2 * (work.panel + panel) + v] * space, plan.slot_step * space,
            plan.vec_filled[2 * (work.panel + panel) + v], size, packed + v * vector, vecs * vector,
        )


cdef void sum_entries(
    Reduction plan, const Work *work, const real *inputs, const real *packed, real *sums, segment *segments,
    Py_ssize_t part, Py_ssize_t panel, Py_ssize_t tile, Py_ssize_t rows,
) noexcept nogil:
    """Add what one part of the block contributes to one tile."""
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t first = plan.tile_first[tile]
    cdef Py_ssize_t vecs = plan.panel_vecs[work.panel + panel]
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t[TILE_ROWS] at
    cdef Py_ssize_t i, row, n, h, depth, count = 0, j = 0, q, r
    cdef const Py_ssize_t *tap
    cdef Py_ssize_t base = plan.panel_group[work.panel + panel] * plan.window.depth * strides.u
    for i in range(plan.tile_first[tile + 1] - first):
        tap = &plan.row_tap[3 * (first + i)]
        at[i] = plan.row_unit[first + i] * strides.u
        if not plan.clipped:
            at[i] += tap[0] * strides.q + tap[1] * strides.r + tap[2] * strides.s
    depth = work.size[2]
    tap = &plan.row_tap[3 * first]
    if plan.clipped:  # all rows have this tap, which counts from the origin
        i = work.first[2] * plan.step[2] + plan.origin[2] + tap[2]
        j = min(max(0, -floor_divided(i, plan.step[2])), depth)
        depth = max(j, min(depth, -floor_divided(i - plan.window.extent[2], plan.step[2]))) - j
        base += (i + j * plan.step[2]) * strides.s
    if depth:
        for row in range(part * rows // plan.parts, (part + 1) * rows // plan.parts):
            n = row // (work.size[0] * work.size[1])
            h = row // work.size[1] % work.size[0]
            i = row % work.size[1]
            q, r = h * plan.step[0], i * plan.step[1]
            if plan.clipped:
                q += work.first[0] * plan.step[0] + plan.origin[0] + tap[0]
                r += work.first[1] * plan.step[1] + plan.origin[1] + tap[1]
                if not (0 <= q < plan.window.extent[0] and 0 <= r < plan.window.extent[1]):
                    continue
            segments[count].a = base + n * strides.n + q * strides.q + r * strides.r
            segments[count].b = row * work.size[2] + j
            count += 1
    packed += panel * work.images * work.size[0] * work.size[1] * work.size[2] * plan.slots
    sums += ((part * work.panels + panel) * plan.rows + first) * plan.slots
    sum_tile(
        plan.tile_first[tile + 1] - first, vecs, plan.window.lanes > 1, inputs, at, plan.step[2] * strides.s, packed,
        width, segments, count, depth, sums, work.add,
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
    cdef Py_ssize_t size = work.panels * plan.rows * plan.slots
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
