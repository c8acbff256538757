/* Winograd's transforms of one type REAL, on vectors of LANES channels. Included by microkernel_body.h.

   The points are 0, +-P, +-Q and infinity. What is even in a point and what is odd are summed once for both signs, so
   that a number passes no more roundings than its row of the matrix has entries. Matrices: winograd_gauge.py. */

#define P ((REAL)5 / 8)
#define Q ((REAL)3 / 2)
#define PP (P * P)
#define QQ (Q * Q)

/* G is held times S = 26775 / 2^15, which makes its entries dyadic, and so exact. */
#define G_0 ((REAL)30464 / 32768)
#define G_P ((REAL)-18432 / 32768)
#define G_Q ((REAL)3200 / 32768)
#define S ((REAL)26775 / 32768)

#define TILES_AT_ONCE 8 /* of a row: what lies between both passes of a transform stays in the first-level cache */

/* B^T d: six inputs at the six points. */
INLINE void NAME(inputs_at_points)(const NAME(vector) * d, NAME(vector) * v)
{
    NAME(vector) even_p = d[4] - QQ * d[2], odd_p = P * d[3] - P * QQ * d[1];
    NAME(vector) even_q = d[4] - PP * d[2], odd_q = Q * d[3] - Q * PP * d[1];
    v[0] = PP * QQ * d[0] - (PP + QQ) * d[2] + d[4];
    v[1] = even_p + odd_p;
    v[2] = even_p - odd_p;
    v[3] = even_q + odd_q;
    v[4] = even_q - odd_q;
    v[5] = PP * QQ * d[1] - (PP + QQ) * d[3] + d[5];
}

/* S G g: three weights, or four numbers of dy, at the six points. */
INLINE void NAME(factors_at_points)(const int count, const NAME(vector) * g, NAME(vector) * u)
{
    NAME(vector) even_p = G_P * g[0] + G_P * PP * g[2], odd_p = G_P * P * g[1];
    NAME(vector) even_q = G_Q * g[0] + G_Q * QQ * g[2], odd_q = G_Q * Q * g[1];
    if (count == 4) {
        odd_p += G_P * P * PP * g[3];
        odd_q += G_Q * Q * QQ * g[3];
    }
    u[0] = G_0 * g[0];
    u[1] = even_p + odd_p;
    u[2] = even_p - odd_p;
    u[3] = even_q + odd_q;
    u[4] = even_q - odd_q;
    u[5] = S * g[count - 1];
}

/* A^T m: `count` results, 4 or 3, from the products at the six points. */
INLINE void NAME(from_points)(const int count, const NAME(vector) * m, NAME(vector) * y)
{
    NAME(vector) even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
    y[0] = m[0] + even_p + even_q;
    y[1] = P * odd_p + Q * odd_q;
    y[2] = PP * even_p + QQ * even_q;
    if (count == 4)
        y[3] = P * PP * odd_p + Q * QQ * odd_q + m[5];
    else
        y[2] += m[5];
}

/* By the square of S: in double a division, which leaves integers exact. */
INLINE NAME(vector) NAME(unscaled)(NAME(vector) y)
{
    return sizeof(REAL) == sizeof(float) ? y * (1 / (S * S)) : y / (S * S);
}

/* Rows of tiles at the points: out[point * point_step + tile * tile_step] is a vector for each of the 36 points.

   `taken` inputs make a tile: 6, of which neighbouring tiles share two, or 4. Input (r, s) stands at
   in + r * row_step + s * LANES. */
INLINE void NAME(tiles_at_points)(const int taken, const REAL *in, ptrdiff_t row_step, ptrdiff_t rows, ptrdiff_t tiles,
                                  REAL *out, ptrdiff_t point_step, ptrdiff_t tile_step)
{
    NAME(vector) upright[4 * TILES_AT_ONCE + 2][6], column[6], point[6];
    for (ptrdiff_t row = 0; row < rows; row++, in += 4 * row_step)
        for (ptrdiff_t first = 0; first < tiles; first += TILES_AT_ONCE) {
            ptrdiff_t some = tiles - first < TILES_AT_ONCE ? tiles - first : TILES_AT_ONCE;
            for (ptrdiff_t s = 0; s < 4 * some + taken - 4; s++) {
                UNROLLED for (int r = 0; r < taken; r++)
                    column[r] = NAME(load)(in + r * row_step + (4 * first + s) * LANES);
                if (taken == 6)
                    NAME(inputs_at_points)(column, upright[s]);
                else
                    NAME(factors_at_points)(4, column, upright[s]);
            }
            for (ptrdiff_t tile = 0; tile < some; tile++, out += tile_step)
                UNROLLED for (int i = 0; i < 6; i++) {
                    UNROLLED for (int s = 0; s < taken; s++)
                        column[s] = upright[4 * tile + s][i];
                    if (taken == 6)
                        NAME(inputs_at_points)(column, point);
                    else
                        NAME(factors_at_points)(4, column, point);
                    UNROLLED for (int j = 0; j < 6; j++)
                        NAME(store)(out + (6 * i + j) * point_step, point[j]);
                }
        }
}

static void NAME(windows_at_points)(const REAL *in, ptrdiff_t row_step, ptrdiff_t rows, ptrdiff_t tiles, REAL *out,
                                     ptrdiff_t point_step, ptrdiff_t tile_step)
{
    NAME(tiles_at_points)(6, in, row_step, rows, tiles, out, point_step, tile_step);
}

static void NAME(squares_at_points)(const REAL *in, ptrdiff_t row_step, ptrdiff_t rows, ptrdiff_t tiles, REAL *out,
                                     ptrdiff_t point_step, ptrdiff_t tile_step)
{
    NAME(tiles_at_points)(4, in, row_step, rows, tiles, out, point_step, tile_step);
}

/* 3 x 3 weights at the points; `flipped`: rotated by half a turn. Weight (k, l) stands at w + (3 k + l) * LANES. */
static void NAME(weights_at_points)(const REAL *w, int flipped, REAL *out, ptrdiff_t point_step)
{
    NAME(vector) upright[3][6], column[3], point[6];
    UNROLLED for (int l = 0; l < 3; l++) {
        UNROLLED for (int k = 0; k < 3; k++)
            column[k] = NAME(load)(w + (flipped ? 8 - 3 * k - l : 3 * k + l) * LANES);
        NAME(factors_at_points)(3, column, upright[l]);
    }
    UNROLLED for (int i = 0; i < 6; i++) {
        UNROLLED for (int l = 0; l < 3; l++)
            column[l] = upright[l][i];
        NAME(factors_at_points)(3, column, point);
        UNROLLED for (int j = 0; j < 6; j++)
            NAME(store)(out + (6 * i + j) * point_step, point[j]);
    }
}

/* A^T m A of one tile: count x count results; row i stands at out + i * row_step. Their product with zero, which is no
   zero where one is infinite or NaN, is added to `zeros`. */
INLINE void NAME(tile_from_points)(const int count, const REAL *m, ptrdiff_t point_step, REAL *out, ptrdiff_t row_step,
                                   NAME(vector) * zeros)
{
    NAME(vector) upright[6][4], column[6], row[4];
    UNROLLED for (int j = 0; j < 6; j++) {
        UNROLLED for (int i = 0; i < 6; i++)
            column[i] = NAME(load)(m + (6 * i + j) * point_step);
        NAME(from_points)(count, column, upright[j]);
    }
    UNROLLED for (int i = 0; i < count; i++) {
        UNROLLED for (int j = 0; j < 6; j++)
            column[j] = upright[j][i];
        NAME(from_points)(count, column, row);
        UNROLLED for (int j = 0; j < count; j++) {
            *zeros += row[j] * 0;
            NAME(store)(out + i * row_step + j * LANES, NAME(unscaled)(row[j]));
        }
    }
}

INLINE int NAME(all_zero)(NAME(vector) zeros)
{
    int found = 1;
    for (int lane = 0; lane < LANES; lane++)
        found &= zeros[lane] == 0;
    return found;
}

/* A row of tiles; whether all results are finite. */
static int NAME(outputs_from_points)(const REAL *m, ptrdiff_t point_step, ptrdiff_t tile_step, ptrdiff_t tiles,
                                     REAL *out, ptrdiff_t row_step)
{
    NAME(vector) zeros = {0};
    for (ptrdiff_t tile = 0; tile < tiles; tile++)
        NAME(tile_from_points)(4, m + tile * tile_step, point_step, out + 4 * tile * LANES, row_step, &zeros);
    return NAME(all_zero)(zeros);
}

/* The nine weights of one filter and LANES channels; whether all are finite. */
static int NAME(weights_from_points)(const REAL *m, ptrdiff_t point_step, REAL *out)
{
    NAME(vector) zeros = {0};
    NAME(tile_from_points)(3, m, point_step, out, 3 * LANES, &zeros);
    return NAME(all_zero)(zeros);
}

#undef P
#undef Q
#undef PP
#undef QQ
#undef G_0
#undef G_P
#undef G_Q
#undef S
