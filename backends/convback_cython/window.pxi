"""The inputs that a block of positions reads, copied with their padding, so that no kernel asks where an image ends.

A *unit* is what a kernel takes at once of one position: one channel, or, with lanes, a vector of channels. A copy lies
in memory as [image, q, r, unit, s, lane].
"""

from libc.string cimport memcpy, memset

cdef struct Strides:
    Py_ssize_t n, q, r, u, s


cdef class Window:
    """How to copy the windows of one operand; `plan` is a `planning.Window`."""

    cdef Py_ssize_t units, lanes, depth, groups, image, channel, rows
    cdef bint copied
    cdef Py_ssize_t[3] extent, size

    def __cinit__(self, plan):
        cdef int axis
        self.units, self.lanes, self.depth, self.groups = plan.units, plan.lanes, plan.depth, plan.groups
        self.copied = plan.copied
        self.channel = 1
        for axis in range(3):
            self.extent[axis], self.size[axis] = plan.extent[axis], plan.size[axis]
            self.channel *= self.extent[axis]
        self.image = plan.channels * self.channel
        self.rows = self.size[0] * self.size[1] * self.units  # of a copy of one image

    cdef Strides strides(self) noexcept nogil:
        """Of the copy, or of the operand itself where none is made."""
        cdef Py_ssize_t row = self.size[2] * self.lanes
        if self.copied:
            return Strides(
                n=self.size[0] * self.size[1] * self.units * row, q=self.size[1] * self.units * row,
                r=self.units * row, u=row, s=self.lanes,
            )
        return Strides(n=self.image, q=self.extent[1] * self.extent[2], r=self.extent[2], u=self.channel, s=1)


cdef void copy_rows(
    Window window, const real *source, real *copy, const Py_ssize_t *start, Py_ssize_t images, Py_ssize_t group
) noexcept nogil:
    """Copy the windows of some images, the first of which `source` points to, that begin at `start`.

    Without lanes `group` is 0: all units are copied. With lanes, those of one vector of groups are.
    """
    cdef Py_ssize_t row
    for row in range(images * window.rows):
        copy_row(window, source, copy, start, row, group * window.depth)


cdef void copy_row(
    Window window, const real *source, real *copy, const Py_ssize_t *start, Py_ssize_t row, Py_ssize_t first_unit
) noexcept nogil:
    """Copy one row (n, q, unit, r); zeros where it lies outside."""
    cdef Py_ssize_t size = window.size[2], lanes = window.lanes, s = start[2]
    cdef Py_ssize_t first = min(max(-s, 0), size)
    cdef Py_ssize_t last = min(max(window.extent[2] - s, first), size)
    cdef Py_ssize_t i = row % window.size[1]  # innermost, since neighbouring rows are neighbours in memory
    cdef Py_ssize_t unit = row // window.size[1] % window.units
    cdef Py_ssize_t plane = row // (window.size[1] * window.units)  # of all images
    cdef Py_ssize_t q = start[0] + plane % window.size[0], r = start[1] + i
    cdef Py_ssize_t channel
    cdef const real *end
    copy += ((plane * window.size[1] + i) * window.units + unit) * size * lanes
    unit += first_unit
    if not (0 <= q < window.extent[0] and 0 <= r < window.extent[1]):
        memset(copy, 0, size * lanes * sizeof(real))
        return
    memset(copy, 0, first * lanes * sizeof(real))
    memset(copy + last * lanes, 0, (size - last) * lanes * sizeof(real))
    source += plane // window.size[0] * window.image
    end = source + window.image
    channel = unit if lanes == 1 else unit // window.depth * lanes * window.depth + unit % window.depth
    source += channel * window.channel + (q * window.extent[1] + r) * window.extent[2] + s + first
    if lanes == 1:
        memcpy(copy + first, source, (last - first) * sizeof(real))
    else:
        interleave(
            source, window.depth * window.channel, min(lanes, window.groups - unit // window.depth * lanes),
            last - first, end, copy + first * lanes, lanes,
        )
