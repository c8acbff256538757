"""The strips of a block of y or dx: neighbouring tiles, which are summed and then transposed and written at once."""


cdef void divide_into_strips(Gather plan, Region *region) noexcept nogil:
    """Runs of positions in tiles of nearly one length, and these in strips.

    A run is a row where taps are left out and its tiles get long enough, as all positions of a row have the same taps;
    else it is the block.
    """
    cdef const Py_ssize_t *size = &region.block.size[0]
    cdef Py_ssize_t most = max(1, STRIP // TILE_ROWS // plan.columns)
    cdef Py_ssize_t runs = size[0] * size[1]
    region.run = size[2]
    region.tiles = (region.run + TILE_ROWS - 1) // TILE_ROWS
    if not plan.skips or 2 * region.run < 9 * region.tiles:  # sums of fewer rows wait for themselves
        region.run, runs = region.run * runs, 1
        region.tiles = (region.run + TILE_ROWS - 1) // TILE_ROWS
    region.in_run = (region.tiles + most - 1) // most
    region.strips = runs * region.in_run


cdef struct Run:
    Py_ssize_t first, positions  # in the strip
    Py_ssize_t to, outputs  # in an image: neighbours in memory


cdef void gather_strip(
    Gather plan, const Region *region, const real *inputs, const real *packed, Py_ssize_t packed_from, real *out,
    const segment *segments, segment *own, Py_ssize_t item,
) noexcept nogil:
    """Sum one strip and write it. Items are ordered by panel, image and position."""
    cdef Strides strides = plan.window.strides()
    cdef Py_ssize_t strip = item % region.strips
    cdef Py_ssize_t n = item // region.strips % region.block.images
    cdef Py_ssize_t panel = region.panel + item // (region.strips * region.block.images)
    cdef Py_ssize_t depth = plan.window.depth
    cdef Py_ssize_t vecs = plan.panel_vecs[panel]
    cdef Py_ssize_t width = vecs * VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Run[STRIP] runs
    cdef Py_ssize_t[STRIP] at
    cdef real[STRIP_SUMS] sums
    cdef Py_ssize_t first_of_strip = strip_start(region, strip)
    cdef Py_ssize_t positions = strip_start(region, strip + 1) - first_of_strip
    cdef Py_ssize_t tiles = (positions + TILE_ROWS - 1) // TILE_ROWS
    cdef Py_ssize_t i, tile, first, rows, column, inner, count
    cdef const segment *used
    cdef Py_ssize_t runs_of_strip = place_strip(plan, region, &strides, first_of_strip, positions, at, runs)
    inputs += n * strides.n
    if plan.window.lanes == 1:
        inputs += plan.panel_group[panel] * depth * strides.u
    packed += (panel - packed_from) * plan.taps * depth * plan.slots
    for tile in range(tiles):
        first = tile * positions // tiles
        rows = (tile + 1) * positions // tiles - first
        for column in range(plan.columns):
            inner, count = plan.set_inner[column], segment_count(plan, column)
            used = segments + plan.set_tap[column] * depth
            if plan.skips and inner == 1:
                count = useful_segments(plan, region, column, used, own, first_of_strip + first, rows)
                used = own
            sum_tile(
                rows, vecs, plan.window.lanes > 1, inputs, at + first,
                plan.set_step[column] * strides.s if inner > 1 else strides.u, packed, width,
                used, count, plan.set_length[column],
                sums + (first * plan.columns + column) * width, plan.columns * width, 0,
            )
    out += (region.block.n + n) * plan.image
    if plan.out_step[2] > plan.columns:
        scatter_strip(plan, region, sums, out, first_of_strip, positions, panel * plan.slots, width)
    else:
        for i in range(runs_of_strip):
            put_strip(
                runs[i].outputs, vecs, sums + runs[i].first * plan.columns * width, out + runs[i].to,
                &plan.slot_out[panel * plan.slots],
            )


cdef inline Py_ssize_t strip_start(const Region *region, Py_ssize_t strip) noexcept nogil:
    """The first position of a strip, counted through the block; strips begin where tiles do."""
    cdef Py_ssize_t tile = strip % region.in_run * region.tiles // region.in_run
    return strip // region.in_run * region.run + tile * region.run // region.tiles


cdef inline void position_of(const Region *region, Py_ssize_t position, Py_ssize_t *t) noexcept nogil:
    """The indices of a position in the pass."""
    t[2] = region.block.first[2] + position % region.block.size[2]
    t[1] = region.block.first[1] + position // region.block.size[2] % region.block.size[1]
    t[0] = region.block.first[0] + position // (region.block.size[2] * region.block.size[1])


cdef Py_ssize_t place_strip(
    Gather plan, const Region *region, const Strides *strides, Py_ssize_t position, Py_ssize_t positions,
    Py_ssize_t *at, Run *runs,
) noexcept nogil:
    """Where each position reads, from the first of the block, and the runs of outputs; their number."""
    cdef const Block *block = &region.block
    cdef const Py_ssize_t *step = &plan.blocks.step[0]
    cdef Py_ssize_t i = 0, count = 0, j, in_row, source, to, outputs
    cdef Py_ssize_t[3] t
    while i < positions:
        position_of(region, position + i, t)
        in_row = min(positions - i, block.first[2] + block.size[2] - t[2])
        source = (
            (t[0] - block.first[0]) * step[0] * strides.q + (t[1] - block.first[1]) * step[1] * strides.r
            + (t[2] - block.first[2]) * step[2] * strides.s
        )
        for j in range(in_row):
            at[i + j] = source + j * step[2] * strides.s
        to = t[0] * plan.out_step[0] + t[1] * plan.out_step[1] + t[2] * plan.out_step[2]
        outputs = min(in_row * plan.columns, plan.out[2] - t[2] * plan.columns)
        # A run goes on only from a whole row: the last position of a row may have fewer outputs than columns.
        if (
            count and runs[count - 1].outputs == runs[count - 1].positions * plan.columns
            and runs[count - 1].to + runs[count - 1].outputs == to
        ):
            runs[count - 1].positions += in_row
            runs[count - 1].outputs += outputs
        else:
            runs[count] = Run(first=i, positions=in_row, to=to, outputs=outputs)
            count += 1
        i += in_row
    return count


cdef Py_ssize_t useful_segments(
    Gather plan, const Region *region, Py_ssize_t column, const segment *segments, segment *own, Py_ssize_t position,
    Py_ssize_t rows,
) noexcept nogil:
    """Copy the segments of those taps that read anything but padding at some position of a tile; their number."""
    cdef Py_ssize_t[3] low, high
    cdef Py_ssize_t count = 0, tap, axis, offset
    cdef bint useful
    position_of(region, position, low)
    position_of(region, position + rows - 1, high)
    if low[0] != high[0]:  # where an index differs, those after it take all values
        low[1], high[1] = region.block.first[1], region.block.first[1] + region.block.size[1] - 1
    if low[0] != high[0] or low[1] != high[1]:
        low[2], high[2] = region.block.first[2], region.block.first[2] + region.block.size[2] - 1
    for tap in range(plan.set_tap[column], plan.set_tap[column + 1]):
        useful = True
        for axis in range(3):
            offset = plan.blocks.origin[axis] + plan.tap_at[3 * tap + axis]
            useful &= high[axis] * plan.blocks.step[axis] + offset >= 0
            useful &= low[axis] * plan.blocks.step[axis] + offset < plan.window.extent[axis]
        if useful:
            own[count] = segments[tap - plan.set_tap[column]]
            count += 1
    return count


cdef void scatter_strip(
    Gather plan, const Region *region, const real *sums, real *out, Py_ssize_t position, Py_ssize_t positions,
    Py_ssize_t panel, Py_ssize_t width,
) noexcept nogil:
    """Write a strip whose outputs are not neighbours."""
    cdef Py_ssize_t i, slot, to
    cdef Py_ssize_t[3] t
    for i in range(positions):
        position_of(region, position + i, t)
        to = t[0] * plan.out_step[0] + t[1] * plan.out_step[1] + t[2] * plan.out_step[2]
        for slot in range(width):
            if plan.slot_out[panel + slot] >= 0:
                out[plan.slot_out[panel + slot] + to] = sums[i * width + slot]
