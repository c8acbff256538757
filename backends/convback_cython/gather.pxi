"""y and dx in gather form, on register tiles (planned in gather.py, which explains the terms).

A pass computes, for every image n, position t of the pass and slot (an output channel)

    out[slot, t] = sum over taps, ci of  source[ci, t * step + tap] * weights[tap, ci, slot]

1. The weights are packed in panels, so that the slots of a tile are neighbours in memory.
2. The inputs of a block of positions are copied with their padding; where every tap reads something real, they are
   read in place.
3. A tile takes at most TILE_ROWS positions, and the one or two vectors of a panel. Neighbouring tiles form a strip,
   which is transposed and written at once.

Threads share out the blocks, each with a copy of its own. No sum is split, and each runs in one order, so the result
does not depend on the number of threads.
"""


cdef class Gather:
    """One pass in C; `plan` is a `gather.Pass`."""

    cdef Window window
    cdef Blocks blocks
    cdef Py_ssize_t taps, panels, chunk, slots, weight_depth, weights, kernel, image, columns, macs
    cdef bint skips
    cdef Py_ssize_t[3] out_step, out
    cdef const Py_ssize_t[::1] tap_at, tap_weight, panel_vecs, panel_group, slot_out, slot_weight
    cdef const Py_ssize_t[::1] set_tap, set_inner, set_step, set_length

    def __cinit__(self, plan):
        cdef int axis
        self.window, self.blocks = Window(plan.window), Blocks(plan)
        self.taps, self.columns = plan.taps, plan.columns
        self.panels, self.chunk, self.slots = plan.panels, plan.chunk, plan.slots
        self.weight_depth, self.image = plan.weight_depth, plan.image
        self.weights, self.kernel, self.macs = plan.weights, plan.kernel, plan.macs
        self.skips = plan.skips
        for axis in range(3):
            self.out_step[axis], self.out[axis] = plan.out_step[axis], plan.out[axis]
        self.tap_at, self.tap_weight = plan.tap_at, plan.tap_weight
        self.panel_vecs, self.panel_group = plan.panel_vecs, plan.panel_group
        self.slot_out, self.slot_weight = plan.slot_out, plan.slot_weight
        self.set_tap, self.set_inner = plan.set_tap, plan.set_inner
        self.set_step, self.set_length = plan.set_step, plan.set_length

    def run(self, source, weights, out, scratch, int threads):
        """Compute a pass: all its positions of `out`. `scratch` has the bytes that the plan says.

        Returns False, and has computed nothing, where padding would be multiplied by a weight that is not finite.
        """
        cdef Operands held = Operands(source, weights, out, scratch)
        if self.slots * sizeof(float) == 2 * VECTOR_BYTES:
            return run_gather(
                self, <const float *> held.buffers[0].buf, <const float *> held.buffers[1].buf,
                <float *> held.buffers[2].buf, <float *> held.buffers[3].buf, threads)
        else:
            return run_gather(
                self, <const double *> held.buffers[0].buf, <const double *> held.buffers[1].buf,
                <double *> held.buffers[2].buf, <double *> held.buffers[3].buf, threads)


cdef struct Region:
    Block block
    Py_ssize_t strips  # of an image
    Py_ssize_t run, tiles, in_run  # of a run: its positions, tiles and strips
    Py_ssize_t panel, panels, shares


cdef int run_gather(
    Gather plan, const real *source, const real *weights, real *out, real *scratch, int threads
) except -1:
    cdef Window window = plan.window
    cdef Py_ssize_t terms = plan.taps * window.depth
    cdef real *packed = scratch
    cdef real *copies = packed + plan.chunk * terms * plan.slots
    cdef Py_ssize_t copy = in_lines(plan.blocks.images * window.strides().n * window.copied)
    cdef segment *segments = <segment *> (copies + copy * threads)
    cdef Py_ssize_t i, item, items
    cdef Region region
    cdef Watch watch
    if not all_finite(weights, plan.weights, threads):
        return False
    all_segments(plan, segments)
    region.panel = 0
    while region.panel < plan.panels:
        region.panels = min(plan.chunk, plan.panels - region.panel)
        with nogil:
            for i in prange(region.panels * window.depth, num_threads=threads, schedule="static"):
                pack_weights(plan, &region, weights, packed, i)
        items = plan.blocks.number()
        region.shares = shares_of(plan, &region, items, threads)
        items *= region.shares
        watch = watching(items, plan.macs)
        with nogil:
            for item in prange(items, num_threads=threads, schedule="dynamic"):
                if not watch.stopped:
                    gather_block(plan, &region, item, source, packed, out, copies + threadid() * copy, segments,
                                 segments + (1 + threadid()) * in_lines(terms))
                    look(&watch)
        ended(&watch)
        region.panel += region.panels
    return True


cdef Py_ssize_t shares_of(Gather plan, const Region *region, Py_ssize_t blocks, int threads) noexcept nogil:
    """Into how many shares the panels of a block are divided: with lanes each vector of groups has its own inputs; else
    all panels have the same, and are divided only where blocks are too few for the threads."""
    if plan.window.lanes > 1:
        return plan.panel_group[region.panel + region.panels - 1] - plan.panel_group[region.panel] + 1
    if threads == 1 or blocks >= 2 * threads:
        return 1
    return min(region.panels, (2 * threads + blocks - 1) // blocks)


cdef void gather_block(
    Gather plan, const Region *chunk, Py_ssize_t item, const real *source, const real *packed, real *out, real *copy,
    const segment *segments, segment *own,
) noexcept nogil:
    """A share of the panels of one block, on one thread, which so finds its copy of the inputs in its own cache."""
    cdef Region region = chunk[0]
    cdef Py_ssize_t blocks = plan.blocks.number()
    cdef Py_ssize_t share = item // blocks, group = 0, panels, i
    cdef Strides strides = plan.window.strides()
    cdef const Py_ssize_t *start = &region.block.start[0]
    if plan.window.lanes > 1:
        group = plan.panel_group[chunk.panel] + share
        panels = plan.panels // (plan.panel_group[plan.panels - 1] + 1)
        region.panel = max(chunk.panel, group * panels)
        region.panels = min(chunk.panel + chunk.panels, (group + 1) * panels) - region.panel
    else:
        region.panel += share * chunk.panels // chunk.shares
        region.panels = chunk.panel + (share + 1) * chunk.panels // chunk.shares - region.panel
    region.block = plan.blocks.at(item % blocks)
    divide_into_strips(plan, &region)
    source += region.block.n * plan.window.image
    if plan.window.copied:
        copy_rows(plan.window, source, copy, start, region.block.images, group)
        source = copy
    else:
        source += start[0] * strides.q + start[1] * strides.r + start[2] * strides.s
    for i in range(region.panels * region.block.images * region.strips):
        gather_strip(plan, &region, source, packed, chunk.panel, out, segments, own, i)


cdef void all_segments(Gather plan, segment *segments) noexcept nogil:
    """The sums of which a whole sum consists: over the channels of one tap, or of neighbouring ones; or over a row of
    taps, where a set has them innermost.

    Segments of a set of taps begin where its terms do, so that there is room for any number.
    """
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t depth = plan.window.depth
    cdef Py_ssize_t column, i, tap, inner, first, length
    for column in range(plan.columns):
        inner, first, length = plan.set_inner[column], plan.set_tap[column], plan.set_length[column]
        for i in range(segment_count(plan, column)):
            tap = first + (i // depth * inner if inner > 1 else i * length // depth)
            segments[first * depth + i].a = (
                plan.tap_at[3 * tap] * strides.q + plan.tap_at[3 * tap + 1] * strides.r
                + plan.tap_at[3 * tap + 2] * strides.s + (i % depth * strides.u if inner > 1 else 0)
            )
            segments[first * depth + i].b = first * depth + i * length


cdef Py_ssize_t segment_count(Gather plan, Py_ssize_t column) noexcept nogil:
    return (plan.set_tap[column + 1] - plan.set_tap[column]) * plan.window.depth // plan.set_length[column]


cdef void pack_weights(
    Gather plan, const Region *region, const real *weights, real *packed, Py_ssize_t item
) noexcept nogil:
    """packed[term, slot] of one panel and ci; terms in the order of `all_segments`.

    Items are ordered as weights are in memory: slots of dx are neighbours, and slots of y far from each other.
    """
    cdef bint neighbours = plan.weight_depth > plan.kernel
    cdef Py_ssize_t i = item % region.panels if neighbours else item // plan.window.depth
    cdef Py_ssize_t ci = item // region.panels if neighbours else item % plan.window.depth
    cdef Py_ssize_t panel = region.panel + i
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t width = plan.panel_vecs[panel] * vector
    cdef Py_ssize_t first = panel * plan.slots, v, slot, tap, filled, at
    cdef const Py_ssize_t *slots
    cdef real[PACKED_WEIGHTS] taps
    packed += i * plan.taps * plan.window.depth * plan.slots
    if plan.kernel > PACKED_TAPS:
        for slot in range(width):
            at = plan.slot_weight[first + slot]
            for tap in range(plan.taps):
                packed[term_of(plan, tap, ci) * width + slot] = (
                    weights[at + ci * plan.weight_depth + plan.tap_weight[tap]] if at >= 0 else 0
                )
        return
    for v in range(plan.panel_vecs[panel]):  # all taps of a vector of slots, whose weights are evenly spaced, at once
        slot = v * vector
        slots = &plan.slot_weight[first + slot]
        filled = 0
        while filled < vector and slots[filled] >= 0:
            filled += 1
        if plan.kernel == 1:
            pack_one_tap(
                weights + slots[0] + ci * plan.weight_depth, slots[1] - slots[0], filled,
                packed + term_of(plan, 0, ci) * width + slot, vector)
            continue
        interleave(
            weights + slots[0] + ci * plan.weight_depth, slots[1] - slots[0], filled, plan.kernel,
            weights + plan.weights, taps + slot, width,
        )
    if plan.kernel > 1:
        for tap in range(plan.taps):
            at = term_of(plan, tap, ci) * width
            for v in range(plan.panel_vecs[panel]):  # at once, as they lie in one line of cache
                memcpy(packed + at + v * vector, taps + plan.tap_weight[tap] * width + v * vector, VECTOR_BYTES)


cdef inline void pack_one_tap(
    const real *weights, Py_ssize_t step, Py_ssize_t filled, real *packed, Py_ssize_t vector
) noexcept nogil:
    """The weights of a vector of slots for the only tap."""
    cdef Py_ssize_t lane
    if step == 1 and filled == vector:
        memcpy(packed, weights, VECTOR_BYTES)
        return
    for lane in range(vector):
        packed[lane] = weights[lane * step] if lane < filled else 0


cdef inline Py_ssize_t term_of(Gather plan, Py_ssize_t tap, Py_ssize_t ci) noexcept nogil:
    """The place of a product in the sum: sets one after another, channels innermost or a row of taps."""
    cdef Py_ssize_t column = 0, inner, first
    while tap >= plan.set_tap[column + 1]:
        column += 1
    first, inner = plan.set_tap[column], plan.set_inner[column]
    tap -= first
    if inner == 1:
        return (first + tap) * plan.window.depth + ci
    return first * plan.window.depth + (tap // inner * plan.window.depth + ci) * inner + tap % inner
