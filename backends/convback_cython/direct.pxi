"""Direct loops over typed memoryviews: the formulas again, ordered so that the compiler vectorises them.

All arrays have three spatial axes. A *row* is what lies along the last one. Everything happens between rows::

    y, dx   a row is the sum of shifted rows, each times one weight     row += w * other      (axpy)
    dw      an entry is the sum of products of rows                     sum of row * other    (dot)

Threads share out the rows, or entries, of the result. Each is computed by one thread in one order, so the result does
not depend on their number.

Cost: one multiplication and addition a product; y and dx load and store the row for each.
"""

from libc.stdlib cimport free, malloc

cdef enum:
    LANES = 16  # partial sums of a dot product: independent, so that they fill vector registers


cdef struct Axis:
    Py_ssize_t x, y, kernel, stride, lo, dilation


cdef class Layer:
    """A `ConvGeometry` of three axes in C, with the range of output columns j that each tap l of a row meets.

    first[l] <= j < last[l] are the j for which s = j * sw + l * dw - pw lies inside x; start[l] is s at first[l].
    """

    cdef Py_ssize_t N, C, F, groups, channels, filters, macs
    cdef Axis depth, height, width
    cdef Py_ssize_t *first
    cdef Py_ssize_t *last
    cdef Py_ssize_t *start

    def __cinit__(self, geom):
        cdef Py_ssize_t tap, shift
        self.N, self.C, self.F, self.groups = geom.N, geom.C, geom.F, geom.groups
        self.macs, self.channels = geom.macs, geom.C // geom.groups
        self.filters = geom.F // geom.groups
        self.depth, self.height, self.width = (axis_of(geom, axis) for axis in range(3))
        self.first = <Py_ssize_t *> malloc(self.width.kernel * sizeof(Py_ssize_t))
        self.last = <Py_ssize_t *> malloc(self.width.kernel * sizeof(Py_ssize_t))
        self.start = <Py_ssize_t *> malloc(self.width.kernel * sizeof(Py_ssize_t))
        if self.first == NULL or self.last == NULL or self.start == NULL:
            raise MemoryError
        for tap in range(self.width.kernel):
            shift = tap * self.width.dilation - self.width.lo  # s = j * stride + shift, and 0 <= s < x
            self.first[tap] = clipped(-shift, &self.width)
            self.last[tap] = clipped(self.width.x - shift, &self.width)
            self.start[tap] = self.first[tap] * self.width.stride + shift

    def __dealloc__(self):
        free(self.first)
        free(self.last)
        free(self.start)


cdef Axis axis_of(geom, int axis):
    return Axis(
        x=geom.x_spatial[axis], y=geom.y_spatial[axis], kernel=geom.kernel[axis],
        stride=geom.stride[axis], lo=geom.padding[axis][0], dilation=geom.dilation[axis],
    )


cdef Py_ssize_t clipped(Py_ssize_t position, const Axis *axis) noexcept:
    """ceil(position / stride), clipped to 0 <= j <= y."""
    if position <= 0:
        return 0
    return min((position + axis.stride - 1) // axis.stride, axis.y)


cdef inline Py_ssize_t input_of(Py_ssize_t output, Py_ssize_t tap, const Axis *axis) noexcept nogil:
    """r = i * stride + k * dilation - p, or -1 on padding."""
    cdef Py_ssize_t r = output * axis.stride + tap * axis.dilation - axis.lo
    return r if 0 <= r < axis.x else -1


cdef inline Py_ssize_t output_of(Py_ssize_t r, Py_ssize_t tap, const Axis *axis) noexcept nogil:
    """The i with i * stride + k * dilation - p = r, or -1 where there is none."""
    cdef Py_ssize_t reach = r + axis.lo - tap * axis.dilation
    if reach < 0 or reach % axis.stride != 0 or reach // axis.stride >= axis.y:
        return -1
    return reach // axis.stride


cdef inline void gather(real *y, const real *x, real weight, Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """y[j] += weight * x[j * stride]"""
    cdef Py_ssize_t j
    if stride == 1:
        for j in range(n):
            y[j] += weight * x[j]
    else:
        for j in range(n):
            y[j] += weight * x[j * stride]


cdef inline void scatter(real *x, const real *y, real weight, Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """x[j * stride] += weight * y[j]"""
    cdef Py_ssize_t j
    if stride == 1:
        for j in range(n):
            x[j] += weight * y[j]
    else:
        for j in range(n):
            x[j * stride] += weight * y[j]


cdef inline void dot(real *lanes, const real *y, const real *x, Py_ssize_t stride, Py_ssize_t n) noexcept nogil:
    """lanes[j % LANES] += y[j] * x[j * stride]"""
    cdef Py_ssize_t block, j, lane
    if stride == 1:
        for block in range(n // LANES):
            j = block * LANES
            for lane in range(LANES):
                lanes[lane] += y[j + lane] * x[j + lane]
        j = n // LANES * LANES
        for lane in range(n - j):
            lanes[lane] += y[j + lane] * x[j + lane]
    else:
        for j in range(n):
            lanes[j % LANES] += y[j] * x[j * stride]


cdef inline real total(const real *lanes) noexcept nogil:
    cdef real result = 0
    cdef Py_ssize_t lane
    for lane in range(LANES):
        result += lanes[lane]
    return result


cdef void y_row(
    const real[:, :, :, :, ::1] x, const real[:, :, :, :, ::1] w, Layer layer, real[:, :, :, :, ::1] y,
    Py_ssize_t n, Py_ssize_t f, Py_ssize_t h, Py_ssize_t i,
) noexcept nogil:
    """y[n,f,h,i,:] = sum over c,m,k,l of x[n,c,q,r,:] * w[f,c,m,k,l]"""
    cdef Py_ssize_t c0 = f // layer.filters * layer.channels
    cdef Py_ssize_t c, m, k, l, q, r, j
    cdef real *y_of = &y[n, f, h, i, 0]
    cdef const real *x_of
    cdef const real *w_of
    for j in range(layer.width.y):
        y_of[j] = 0
    for m in range(layer.depth.kernel):
        q = input_of(h, m, &layer.depth)
        if q < 0:
            continue
        for k in range(layer.height.kernel):
            r = input_of(i, k, &layer.height)
            if r < 0:
                continue
            for c in range(layer.channels):
                x_of = &x[n, c0 + c, q, r, 0]
                w_of = &w[f, c, m, k, 0]
                for l in range(layer.width.kernel):
                    j = layer.first[l]
                    if j < layer.last[l]:
                        gather(&y_of[j], &x_of[layer.start[l]], w_of[l], layer.width.stride, layer.last[l] - j)


cdef void dx_row(
    const real[:, :, :, :, ::1] dy, const real[:, :, :, :, ::1] w, Layer layer, real[:, :, :, :, ::1] dx,
    Py_ssize_t n, Py_ssize_t c, Py_ssize_t q, Py_ssize_t r,
) noexcept nogil:
    """dx[n,c,q,r,:] = sum over f,m,k,l of dy[n,f,h,i,:] * w[f,c,m,k,l]"""
    cdef Py_ssize_t f0 = c // layer.channels * layer.filters
    cdef Py_ssize_t f, m, k, l, h, i, j, s
    cdef real *dx_of = &dx[n, c, q, r, 0]
    cdef const real *dy_of
    cdef const real *w_of
    for s in range(layer.width.x):
        dx_of[s] = 0
    for m in range(layer.depth.kernel):
        h = output_of(q, m, &layer.depth)
        if h < 0:
            continue
        for k in range(layer.height.kernel):
            i = output_of(r, k, &layer.height)
            if i < 0:
                continue
            for f in range(f0, f0 + layer.filters):
                dy_of = &dy[n, f, h, i, 0]
                w_of = &w[f, c % layer.channels, m, k, 0]
                for l in range(layer.width.kernel):
                    j = layer.first[l]
                    if j < layer.last[l]:
                        scatter(&dx_of[layer.start[l]], &dy_of[j], w_of[l], layer.width.stride, layer.last[l] - j)


cdef real dw_entry(
    const real[:, :, :, :, ::1] dy, const real[:, :, :, :, ::1] x, Layer layer,
    Py_ssize_t f, Py_ssize_t c, Py_ssize_t m, Py_ssize_t k, Py_ssize_t l,
) noexcept nogil:
    """dw[f,c,m,k,l] = sum over n,h,i,j of dy[n,f,h,i,j] * x[n,c,q,r,s]"""
    cdef Py_ssize_t j = layer.first[l]
    cdef Py_ssize_t width = layer.last[l] - j
    cdef Py_ssize_t stride = layer.width.stride
    cdef Py_ssize_t s = layer.start[l]
    cdef Py_ssize_t c0 = f // layer.filters * layer.channels
    cdef Py_ssize_t n, h, i, q, r, lane
    cdef real[LANES] lanes
    if width <= 0:
        return 0
    for lane in range(LANES):
        lanes[lane] = 0
    for n in range(layer.N):
        for h in range(layer.depth.y):
            q = input_of(h, m, &layer.depth)
            if q < 0:
                continue
            for i in range(layer.height.y):
                r = input_of(i, k, &layer.height)
                if r >= 0:
                    dot(&lanes[0], &dy[n, f, h, i, j], &x[n, c0 + c, q, r, s], stride, width)
    return total(&lanes[0])


def y(
    const real[:, :, :, :, ::1] x, const real[:, :, :, :, ::1] w, Layer layer, real[:, :, :, :, ::1] out, int threads
):
    """y of a layer; the rows (n, f, h, i) are shared out."""
    cdef Py_ssize_t H = layer.depth.y, I = layer.height.y, F = layer.F
    cdef Py_ssize_t row
    cdef Watch watch = watching(layer.N * F * H * I, layer.macs)
    for row in prange(layer.N * F * H * I, nogil=True, num_threads=threads, schedule="static"):
        if not watch.stopped:
            y_row(x, w, layer, out, row // (I * H * F), row // (I * H) % F, row // I % H, row % I)
            look(&watch)
    ended(&watch)


def dx(
    const real[:, :, :, :, ::1] dy, const real[:, :, :, :, ::1] w, Layer layer, real[:, :, :, :, ::1] out, int threads
):
    """dx of a layer; the rows (n, c, q, r) are shared out."""
    cdef Py_ssize_t Q = layer.depth.x, R = layer.height.x, C = layer.C
    cdef Py_ssize_t row
    cdef Watch watch = watching(layer.N * C * Q * R, layer.macs)
    for row in prange(layer.N * C * Q * R, nogil=True, num_threads=threads, schedule="static"):
        if not watch.stopped:
            dx_row(dy, w, layer, out, row // (R * Q * C), row // (R * Q) % C, row // R % Q, row % R)
            look(&watch)
    ended(&watch)


def dw(
    const real[:, :, :, :, ::1] dy, const real[:, :, :, :, ::1] x, Layer layer, real[:, :, :, :, ::1] out, int threads
):
    """dw of a layer; the entries (f, c, m, k, l) are shared out."""
    cdef Py_ssize_t C = layer.channels, M = layer.depth.kernel, K = layer.height.kernel, L = layer.width.kernel
    cdef Py_ssize_t e, f, c, m, k, l
    cdef Watch watch = watching(layer.F * C * M * K * L, layer.macs)
    for e in prange(layer.F * C * M * K * L, nogil=True, num_threads=threads, schedule="static"):
        l = e % L
        k = e // L % K
        m = e // (L * K) % M
        c = e // (L * K * M) % C
        f = e // (L * K * M * C)
        if not watch.stopped:
            out[f, c, m, k, l] = dw_entry(dy, x, layer, f, c, m, k, l)
            look(&watch)
    ended(&watch)


def db(const real[:, :, ::1] dy, real[::1] out, int threads):
    """db[f] = sum over n and positions of dy[n,f,:], in float64: a float32 sum of ones stops growing at 2^24."""
    cdef Py_ssize_t f
    for f in prange(dy.shape[1], nogil=True, num_threads=threads, schedule="static"):
        out[f] = <real> sum_of_filter(dy, f)


cdef double sum_of_filter(const real[:, :, ::1] dy, Py_ssize_t f) noexcept nogil:
    cdef double[LANES] lanes
    cdef Py_ssize_t n, block, i, lane
    for lane in range(LANES):
        lanes[lane] = 0
    for n in range(dy.shape[0]):
        for block in range(dy.shape[2] // LANES):
            for lane in range(LANES):
                lanes[lane] += dy[n, f, block * LANES + lane]
        i = dy.shape[2] // LANES * LANES
        for lane in range(dy.shape[2] - i):
            lanes[lane] += dy[n, f, i + lane]
    return total(&lanes[0])
