"""The inputs that a block of positions reads, copied with their padding, so that no kernel asks where an image ends.

A *unit* is what a kernel takes at once of one position: one channel, or, with lanes, a vector of channels. A copy lies
in memory as [image, q, r, unit, s, lane] or, where kernels sum many channels, channels last: [image, q, r, s, unit].
Then the terms of a position are neighbours, whatever the taps are, and each line of cache that is fetched is used
whole.
"""

from libc.string cimport memcpy

cdef struct Strides:
    Py_ssize_t n, q, r, u, s


cdef struct Block:
    Py_ssize_t n, images  # the first image, and how many
    Py_ssize_t[3] first, size  # positions
    Py_ssize_t[3] start  # where the windows of the positions begin


cdef class Blocks:
    """How the positions of all images are divided into blocks; `plan` has N, block, count, step and origin."""

    cdef Py_ssize_t N, images
    cdef Py_ssize_t[3] count, size, step, origin

    def __cinit__(self, plan):
        cdef int axis
        self.N, self.images = plan.N, plan.block[0]
        for axis in range(3):
            self.count[axis], self.size[axis] = plan.count[axis], plan.block[1 + axis]
            self.step[axis], self.origin[axis] = plan.step[axis], plan.origin[axis]

    cdef Py_ssize_t number(self) noexcept nogil:
        cdef Py_ssize_t axis, blocks = (self.N + self.images - 1) // self.images
        for axis in range(3):
            blocks *= (self.count[axis] + self.size[axis] - 1) // self.size[axis]
        return blocks

    cdef Block at(self, Py_ssize_t item) noexcept nogil:
        """The block of that number; the last axis first, then the others, then images."""
        cdef Block block
        cdef Py_ssize_t axis, blocks
        for axis in range(2, -1, -1):
            blocks = (self.count[axis] + self.size[axis] - 1) // self.size[axis]
            block.first[axis] = item % blocks * self.size[axis]
            block.size[axis] = min(self.size[axis], self.count[axis] - block.first[axis])
            block.start[axis] = block.first[axis] * self.step[axis] + self.origin[axis]
            item = item // blocks
        block.n = item * self.images
        block.images = min(self.images, self.N - block.n)
        return block


cdef class Window:
    """How to copy the windows of one operand; `plan` is a `planning.Window`."""

    cdef Py_ssize_t units, lanes, depth, groups, image, channel, pixel
    cdef bint copied
    cdef Py_ssize_t[3] extent, size

    def __cinit__(self, plan):
        cdef int axis
        self.units, self.lanes, self.depth, self.groups = plan.units, plan.lanes, plan.depth, plan.groups
        self.copied, self.pixel = plan.copied, plan.pixel
        self.channel = 1
        for axis in range(3):
            self.extent[axis], self.size[axis] = plan.extent[axis], plan.size[axis]
            self.channel *= self.extent[axis]
        self.image = plan.channels * self.channel

    cdef Strides strides(self) noexcept nogil:
        """Of the copy, or of the operand itself where none is made."""
        cdef Py_ssize_t row = self.size[2] * (self.pixel if self.pixel else self.units * self.lanes)
        if self.copied:
            return Strides(
                n=self.size[0] * self.size[1] * row, q=self.size[1] * row, r=row,
                u=1 if self.pixel else self.size[2] * self.lanes, s=self.pixel if self.pixel else self.lanes,
            )
        return Strides(n=self.image, q=self.extent[1] * self.extent[2], r=self.extent[2], u=self.channel, s=1)


cdef void copy_rows(
    Window window, const real *source, real *copy, const Py_ssize_t *start, Py_ssize_t images, Py_ssize_t group
) noexcept nogil:
    """Copy the windows of some images, the first of which `source` points to, that begin at `start`.

    Without lanes `group` is 0: all units are copied. With lanes, those of one vector of groups are.
    """
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t n, q, unit
    for n in range(images):
        for q in range(window.size[0]):
            if window.pixel:
                for unit in range((window.units + vector - 1) // vector):
                    copy_pixels(window, source, copy, start, n, q, unit * vector)
            else:
                for unit in range(window.units):
                    copy_plane(window, source, copy, start, n, q, unit, group * window.depth + unit)


cdef struct Inside:
    Py_ssize_t first_row, last_row, first, last  # rows of a window, and positions of a row, that the operand has


cdef Inside inside(Window window, const Py_ssize_t *start, Py_ssize_t q) noexcept nogil:
    cdef Inside part
    cdef Py_ssize_t R = window.size[1] if 0 <= start[0] + q < window.extent[0] else 0
    part.first_row = min(max(-start[1], 0), R)
    part.last_row = min(max(window.extent[1] - start[1], part.first_row), R)
    part.first = min(max(-start[2], 0), window.size[2])
    part.last = min(max(window.extent[2] - start[2], part.first), window.size[2])
    return part


cdef inline Py_ssize_t beginning(Window window, const Py_ssize_t *start, Py_ssize_t q) noexcept nogil:
    """Where the slice q of a window begins in a channel; perhaps before it."""
    return ((start[0] + q) * window.extent[1] + start[1]) * window.extent[2] + start[2]


cdef void copy_plane(
    Window window, const real *source, real *copy, const Py_ssize_t *start, Py_ssize_t n, Py_ssize_t q, Py_ssize_t unit,
    Py_ssize_t source_unit,
) noexcept nogil:
    """Copy the rows of one unit at one depth, which are neighbours in memory; zeros where they lie outside."""
    cdef Py_ssize_t lanes = window.lanes, row = window.size[2] * lanes, step = window.units * row
    cdef Py_ssize_t channel = source_unit, filled = 1, r
    cdef Inside part = inside(window, start, q)
    cdef const real *end
    source += n * window.image
    end = source + window.image
    if lanes > 1:
        channel = source_unit // window.depth * lanes * window.depth + source_unit % window.depth
        filled = min(lanes, window.groups - source_unit // window.depth * lanes)
    source += channel * window.channel + beginning(window, start, q)
    copy += ((n * window.size[0] + q) * window.size[1] * window.units + unit) * row
    zero_rows(copy, step, part.first_row, row)
    zero_rows(copy + part.last_row * step, step, window.size[1] - part.last_row, row)
    if lanes == 1:
        copy_padded(
            source + part.first_row * window.extent[2] + part.first, window.extent[2], part.last_row - part.first_row,
            part.first, part.last - part.first, row - part.last, copy + part.first_row * step, step,
        )
        return
    for r in range(part.first_row, part.last_row):
        zero_rows(copy + r * step, step, 1, part.first * lanes)
        interleave(
            source + r * window.extent[2] + part.first, window.depth * window.channel, filled, part.last - part.first,
            end, copy + r * step + part.first * lanes, lanes,
        )
        zero_rows(copy + r * step + part.last * lanes, step, 1, row - part.last * lanes)


cdef void copy_pixels(
    Window window, const real *source, real *copy, const Py_ssize_t *start, Py_ssize_t n, Py_ssize_t q, Py_ssize_t unit
) noexcept nogil:
    """Copy a vector of channels, from `unit` on, at one depth, to where they are neighbours; zeros outside."""
    cdef Py_ssize_t vector = VECTOR_BYTES // <Py_ssize_t> sizeof(real)
    cdef Py_ssize_t pixel = window.pixel, row = window.size[2] * pixel, r
    cdef Inside part = inside(window, start, q)
    cdef const real *end = source + (n + 1) * window.image
    source += n * window.image + unit * window.channel + beginning(window, start, q)
    copy += (n * window.size[0] + q) * window.size[1] * row + unit
    zero_rows(copy, pixel, part.first_row * window.size[2], vector)
    zero_rows(copy + part.last_row * row, pixel, (window.size[1] - part.last_row) * window.size[2], vector)
    for r in range(part.first_row, part.last_row):
        zero_rows(copy + r * row, pixel, part.first, vector)
        interleave(
            source + r * window.extent[2] + part.first, window.channel, min(vector, window.units - unit),
            part.last - part.first, end, copy + r * row + part.first * pixel, pixel,
        )
        zero_rows(copy + r * row + part.last * pixel, pixel, window.size[2] - part.last, vector)
