"""y and dx in gather form, on register tiles (planned in gather.py, which explains the terms).

A pass computes, for every image n, position t of the pass and slot (an output channel)

    out[slot, t] = sum over taps, ci of  source[ci, t * step + tap] * weights[tap, ci, slot]

1. The weights are packed in panels, so that the slots of a tile are neighbours in memory.
2. The inputs of a block of positions are copied with their padding; where every tap reads something real, they are
   read in place.
3. A tile takes at most TILE_ROWS positions, and the one or two vectors of a panel. Threads share out the tiles.

No sum is split, and each runs in one order, so the result does not depend on the number of threads.
"""


cdef class Gather:
    """One pass in C; `plan` is a `gather.Pass`."""

    cdef Window window
    cdef Py_ssize_t N, taps, inner, inner_step, panels, chunk, slots, block_images, weight_depth, image
    cdef bint merged, skips
    cdef Py_ssize_t[3] count, step, origin, block, out_step
    cdef const Py_ssize_t[::1] tap_at, tap_weight, panel_vecs, panel_group, slot_out, slot_weight, slot_phase
    cdef const Py_ssize_t[::1] slot_count

    def __cinit__(self, plan):
        cdef int axis
        self.window = Window(plan.window)
        self.N, self.taps, self.inner, self.inner_step = plan.N, plan.taps, plan.inner, plan.inner_step
        self.panels, self.chunk, self.slots = plan.panels, plan.chunk, plan.slots
        self.block_images, self.weight_depth, self.image = plan.block[0], plan.weight_depth, plan.image
        self.merged, self.skips = plan.merged, plan.skips
        for axis in range(3):
            self.count[axis], self.step[axis] = plan.count[axis], plan.step[axis]
            self.origin[axis], self.out_step[axis] = plan.origin[axis], plan.out_step[axis]
            self.block[axis] = plan.block[1 + axis]
        self.tap_at, self.tap_weight = plan.tap_at, plan.tap_weight
        self.panel_vecs, self.panel_group = plan.panel_vecs, plan.panel_group
        self.slot_out, self.slot_weight = plan.slot_out, plan.slot_weight
        self.slot_phase, self.slot_count = plan.slot_phase, plan.slot_count

    def run(self, source, weights, out, scratch, int threads):
        """Compute a pass: all its positions of `out`. `scratch` has the bytes that the plan says."""
        cdef Operands held = Operands(source, weights, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            run_gather(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            run_gather(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef struct Region:
    Py_ssize_t n  # first image
    Py_ssize_t images
    Py_ssize_t[3] first  # position
    Py_ssize_t[3] size
    Py_ssize_t tiles  # in an image
    Py_ssize_t in_row  # tiles in a row of positions; 0 where tiles run on from row to row


cdef int run_gather(
    Gather plan, const real *source, const real *weights, real *out, real *scratch, int threads
) except -1:
    cdef Window window = plan.window
    cdef Py_ssize_t terms = plan.taps * window.depth
    cdef real *packed = scratch
    cdef real *copy = packed + min(plan.chunk, plan.panels) * terms * plan.slots
    cdef segment *segments = <segment *> (copy + plan.block_images * window.strides().n * window.copied)
    cdef Py_ssize_t panel, panels, i
    cdef Region region
    all_segments(plan, segments)
    for panel in range(0, plan.panels, plan.chunk):
        panels = min(plan.chunk, plan.panels - panel)
        with nogil:
            for i in prange(panels * window.depth, num_threads=threads, schedule="static"):
                pack_weights(plan, weights, packed + i // window.depth * terms * plan.slots,
                             panel + i // window.depth, i % window.depth)
        region.n = 0
        while region.n < plan.N:
            region.images = min(plan.block_images, plan.N - region.n)
            gather_images(plan, source, packed, out, copy, segments, &region, panel, panels, threads)
            region.n += region.images
    return 0


cdef int gather_images(
    Gather plan, const real *source, const real *packed, real *out, real *copy, segment *segments, Region *region,
    Py_ssize_t panel, Py_ssize_t panels, int threads,
) except -1:
    """All positions of some images, block by block."""
    cdef Py_ssize_t[3] blocks, start
    cdef Py_ssize_t block, item
    cdef int axis
    cdef Strides strides = plan.window.strides()
    cdef const real *image = source + region.n * plan.window.image
    cdef const real *inputs
    for axis in range(3):
        blocks[axis] = (plan.count[axis] + plan.block[axis] - 1) // plan.block[axis]
    for block in range(blocks[0] * blocks[1] * blocks[2]):
        region.first[0] = block // (blocks[2] * blocks[1]) * plan.block[0]
        region.first[1] = block // blocks[2] % blocks[1] * plan.block[1]
        region.first[2] = block % blocks[2] * plan.block[2]
        for axis in range(3):
            region.size[axis] = min(plan.block[axis], plan.count[axis] - region.first[axis])
            start[axis] = region.first[axis] * plan.step[axis] + plan.origin[axis]
        divide_into_tiles(region)
        with nogil:
            if plan.window.copied:
                copy_rows(plan.window, image, copy, start, region.images, threads)
                inputs = copy
            else:
                inputs = image + start[0] * strides.q + start[1] * strides.r + start[2] * strides.s
            for item in prange(panels * region.images * region.tiles, num_threads=threads, schedule="static"):
                gather_tile(
                    plan, region, strides, inputs, packed, out, segments,
                    segments + (1 + threadid()) * segment_count(plan), panel, item,
                )
        PyErr_CheckSignals()
    return 0


cdef void divide_into_tiles(Region *region) noexcept:
    """Tiles keep to rows where they get long enough, since all positions of a row have the same taps."""
    cdef Py_ssize_t in_row = (region.size[2] + TILE_ROWS - 1) // TILE_ROWS
    cdef Py_ssize_t rows = region.size[0] * region.size[1]
    if 4 * region.size[2] >= 3 * in_row * TILE_ROWS:
        region.in_row, region.tiles = in_row, rows * in_row
    else:
        region.in_row, region.tiles = 0, (rows * region.size[2] + TILE_ROWS - 1) // TILE_ROWS


cdef Py_ssize_t segment_count(Gather plan) noexcept nogil:
    return plan.taps * plan.window.depth // plan.inner if plan.inner > 1 else plan.taps


cdef void all_segments(Gather plan, segment *segments) noexcept:
    """The sums over one channel, or one row of taps (see `inner`), of which a whole sum consists."""
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t depth = plan.window.depth
    cdef Py_ssize_t i, tap, terms = plan.inner if plan.inner > 1 else depth
    for i in range(segment_count(plan)):
        tap = i // depth * plan.inner if plan.inner > 1 else i
        segments[i].a = (
            plan.tap_at[3 * tap] * strides.q + plan.tap_at[3 * tap + 1] * strides.r
            + plan.tap_at[3 * tap + 2] * strides.s + (i % depth * strides.u if plan.inner > 1 else 0)
        )
        segments[i].b = i * terms


cdef void pack_weights(Gather plan, const real *weights, real *packed, Py_ssize_t panel, Py_ssize_t ci) noexcept nogil:
    """packed[term, slot] of one panel and ci; terms in the order of `all_segments`."""
    cdef Py_ssize_t width = plan.panel_vecs[panel] * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t depth = plan.window.depth, inner = plan.inner
    cdef Py_ssize_t slot, tap, at, term
    cdef const Py_ssize_t *tap_weight
    cdef const real *weight
    for slot in range(width):
        at = plan.slot_weight[panel * plan.slots + slot]
        tap_weight = &plan.tap_weight[plan.slot_phase[panel * plan.slots + slot] * plan.taps]
        weight = weights + max(at, 0) + ci * plan.weight_depth
        for tap in range(plan.taps):
            term = (tap // inner * depth + ci) * inner + tap % inner
            packed[term * width + slot] = weight[tap_weight[tap]] if at >= 0 and tap_weight[tap] >= 0 else 0


cdef struct Place:
    Py_ssize_t at  # of the first input of a position, from that of the region
    Py_ssize_t to  # of its output in an image
    Py_ssize_t[3] t


cdef void gather_tile(
    Gather plan, const Region *region, Strides strides, const real *inputs, const real *packed, real *out,
    const segment *segments, segment *own, Py_ssize_t panel0, Py_ssize_t item,
) noexcept nogil:
    """Sum one tile and write it. Items are ordered by panel, image and position."""
    cdef Py_ssize_t n = item // region.tiles % region.images
    cdef Py_ssize_t panel = item // (region.tiles * region.images)
    cdef Py_ssize_t depth = plan.window.depth
    cdef Py_ssize_t terms = plan.inner if plan.inner > 1 else depth
    cdef Py_ssize_t count = segment_count(plan)
    cdef Py_ssize_t vecs = plan.panel_vecs[panel0 + panel]
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Place[TILE_ROWS] places
    cdef Py_ssize_t[TILE_ROWS] at
    cdef real[TILE_ROWS * SLOTS] sums
    cdef Py_ssize_t i, rows = place_tile(plan, region, strides, item % region.tiles, places)
    for i in range(rows):
        at[i] = places[i].at
    if plan.skips:
        count = useful_segments(plan, segments, own, places, rows)
        segments = own
    sum_tile(
        rows, vecs, plan.window.lanes > 1,
        inputs + n * strides.n + plan.panel_group[panel0 + panel] * depth * strides.u, at,
        plan.inner_step * strides.s if plan.inner > 1 else strides.u,
        packed + panel * plan.taps * depth * plan.slots, width, segments, count, terms, sums, 0,
    )
    out += (region.n + n) * plan.image
    panel = (panel0 + panel) * plan.slots
    if not plan.merged and places[rows - 1].to - places[0].to == rows - 1:
        put_tile(rows, vecs, sums, out + places[0].to, &plan.slot_out[panel])
    else:
        scatter_tile(plan, sums, out, places, rows, panel, width)


cdef Py_ssize_t place_tile(
    Gather plan, const Region *region, Strides strides, Py_ssize_t tile, Place *places
) noexcept nogil:
    """Find the positions of a tile; their number."""
    cdef Py_ssize_t size = region.size[2]
    cdef Py_ssize_t first, last, position, i, axis
    if region.in_row:
        first = tile // region.in_row * size + tile % region.in_row * size // region.in_row
        last = tile // region.in_row * size + (tile % region.in_row + 1) * size // region.in_row
    else:
        size *= region.size[0] * region.size[1]
        first, last = tile * size // region.tiles, (tile + 1) * size // region.tiles
    for i in range(last - first):
        position = first + i
        places[i].t[0] = position // (region.size[2] * region.size[1])
        places[i].t[1] = position // region.size[2] % region.size[1]
        places[i].t[2] = position % region.size[2]
        places[i].at = (
            places[i].t[0] * plan.step[0] * strides.q + places[i].t[1] * plan.step[1] * strides.r
            + places[i].t[2] * plan.step[2] * strides.s
        )
        places[i].to = 0
        for axis in range(3):
            places[i].t[axis] += region.first[axis]
            places[i].to += places[i].t[axis] * plan.out_step[axis]
    return last - first


cdef Py_ssize_t useful_segments(
    Gather plan, const segment *segments, segment *own, const Place *places, Py_ssize_t rows
) noexcept nogil:
    """Copy the segments of those taps that read anything but padding at some position of the tile; their number."""
    cdef Py_ssize_t[3] low, high
    cdef Py_ssize_t count = 0, tap, axis, offset, i
    cdef bint useful
    for axis in range(3):
        low[axis] = high[axis] = places[0].t[axis]
        for i in range(1, rows):
            low[axis], high[axis] = min(low[axis], places[i].t[axis]), max(high[axis], places[i].t[axis])
    for tap in range(plan.taps):
        useful = True
        for axis in range(3):
            offset = plan.origin[axis] + plan.tap_at[3 * tap + axis]
            useful &= high[axis] * plan.step[axis] + offset >= 0
            useful &= low[axis] * plan.step[axis] + offset < plan.window.extent[axis]
        if useful:
            own[count] = segments[tap]
            count += 1
    return count


cdef void scatter_tile(
    Gather plan, const real *sums, real *out, const Place *places, Py_ssize_t rows, Py_ssize_t panel, Py_ssize_t width
) noexcept nogil:
    """Write a tile whose outputs are not neighbours. A slot of a merged pass may have fewer positions than the pass."""
    cdef Py_ssize_t i, slot
    cdef const Py_ssize_t *count
    for slot in range(width):
        if plan.slot_out[panel + slot] < 0:
            continue
        count = &plan.slot_count[3 * (panel + slot)]
        for i in range(rows):
            if places[i].t[0] < count[0] and places[i].t[1] < count[1] and places[i].t[2] < count[2]:
                out[plan.slot_out[panel + slot] + places[i].to] = sums[i * width + slot]
