"""Ctrl-C while threads compute: every 10 milliseconds of its work, the thread that Python called looks for signals."""

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept


cdef struct Watch:
    bint stopped  # then an exception is set, and what is left of the work is skipped
    Py_ssize_t every  # items of the thread that looks, from one time to the next
    char[128] apart  # in a line of cache of its own, as the others read the line of `stopped`:
    Py_ssize_t since  # items since it looked
    char[128] behind


cdef inline Watch watching(Py_ssize_t items, Py_ssize_t macs) noexcept nogil:
    """Of the equal items of a problem."""
    cdef Watch watch
    watch.stopped, watch.since = False, 0
    watch.every = max(1, <Py_ssize_t> (items * (5e8 / max(macs, 1))))
    return watch


cdef inline void look(Watch *watch) noexcept nogil:
    """Called by every thread after an item."""
    if threadid() != 0:
        return
    watch.since += 1
    if watch.since == watch.every:
        watch.since = 0
        with gil:
            watch.stopped = PyErr_CheckSignals() != 0


cdef inline int ended(const Watch *watch) except -1:
    """Raises what was set, once the threads are done."""
    return -1 if watch.stopped else 0
