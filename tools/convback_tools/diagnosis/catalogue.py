"""The catalogue of mistakes: what each is, what it should be, and when a case cannot show it.

Gathered from questions and reports of people who write the gradients of convolutions by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from convback_tools.diagnosis import wrong_arrays, wrong_kernels, wrong_windows
from convback_tools.diagnosis.candidates import Candidate

RIGHT = {
    "y": "y[n,f,i] = b[f] + sum over c,k of x[n,c,i*s + k*d - p] * w[f,c,k]",
    "dx": "dx[n,c,r] = sum over f,i,k with i*s + k*d - p = r of dy[n,f,i] * w[f,c,k]",
    "dw": "dw[f,c,k] = sum over n,i of dy[n,f,i] * x[n,c,i*s + k*d - p]",
    "db": "db[f] = sum over n,i of dy[n,f,i]",
}

SCATTER = "The scatter form, dx[n,c,i*s + k*d - p] += dy[n,f,i] * w[f,c,k], needs no rotation at all."


@dataclass(frozen=True)
class Mistake:
    """An entry of the catalogue.

    Attributes
    ----------
    id : str
    title : str
        What goes wrong.
    fix : str
        What to change.
    unseen : str
        When a case cannot show it.
    """

    id: str
    title: str
    fix: str
    unseen: str


CATALOGUE = {
    mistake.id: mistake
    for mistake in (
        Mistake(
            "dx.no_rotation", "The kernel is not rotated",
            f"Where dx is gathered, read the kernel backwards along every spatial axis, once. {SCATTER}",
            "the kernel is 1x1 or symmetric",
        ),
        Mistake(
            "dx.channels_not_swapped", "Filters and channels of the kernel are not exchanged",
            "dx has a map for each channel c of x, made of all filters f: take w[f,c] where the forward pass takes it. "
            "In a gather with a convolution function that sums over the second axis of its kernel, pass the "
            f"rotated kernel with its first two axes transposed. {SCATTER}",
            "never; but only as many filters as channels let it run without an error",
        ),
        Mistake(
            "dx.filters_not_summed", "dx is not summed over the filters",
            "Every filter reads every channel of its group, so each adds to dx: sum over f, with += into zeros.",
            "there is one filter",
        ),
        Mistake(
            "dx.overwritten", "Windows that overlap overwrite each other",
            "Add each window to what is there: += in place of =.",
            "windows do not overlap: the stride is at least the kernel",
        ),
        Mistake(
            "dx.flip_axes", "The kernel is reversed along the wrong axes",
            f"Rotate by 180 degrees: reverse every spatial axis, and only these. {SCATTER}",
            "the kernel is 1x1 or symmetric",
        ),
        Mistake(
            "dx.stride_ignored", "The stride is not undone",
            "Put s-1 zeros between the entries of dy before the full correlation, or scatter to r = i*s + k*d - p.",
            "the stride is 1",
        ),
        Mistake(
            "dx.padding_not_cropped", "The padding is not cut off, or at the wrong end",
            "Cut p entries off the start and what is left over off the end: padded[p : p + H]. With p = 0, [p:-p] is "
            "empty.",
            "there is no padding",
        ),
        Mistake(
            "dx.same_padding_side", "Leading and trailing padding are exchanged",
            "With 'same' padding of an odd total the extra zero stands at the end: subtract the leading padding.",
            "the padding is symmetric",
        ),
        Mistake(
            "dx.valid_or_same_for_full", "The correlation is not a full one",
            "Pad D(dy) with K-1 zeros on all sides, so that every entry of the kernel meets every entry of dy.",
            "the kernel is 1x1",
        ),
        Mistake(
            "dx.scatter_without_offset", "Windows are added without their offset",
            "Add the window of output i at r = i*s + k*d - p, not at k.", "y has a single position",
        ),
        Mistake(
            "dx.weights_already_updated", "dx is computed with weights that were updated before",
            "Compute dx before w is changed, or keep a copy of w.", "never",
        ),
        Mistake(
            "dw.flipped", "dw is rotated",
            "dw is a correlation of x with dy, without any rotation; mind which of the two slides.",
            "the kernel is 1x1",
        ),
        Mistake(
            "dw.stride_dilation_swapped", "Stride and dilation keep their places in dw",
            "In dw = correlation of x with dy they change places: dy is spread out by the stride, and the window moves "
            "by the dilation: x[n,c,i*s + k*d - p].",
            "stride and dilation are equal",
        ),
        Mistake(
            "dw.padding_missing", "x is padded wrongly in dw", "Pad x as the forward pass does, once.",
            "there is no padding",
        ),
        Mistake(
            "db.axes", "dy is summed over the wrong axes",
            "Sum over the batch and all positions: db = dy.sum(axis=(0, 2, 3)), a number for each filter.", "never",
        ),
        Mistake(
            "any.leftover", "The rows behind the last window are treated wrongly",
            "If (H + 2p - K) % s is not 0, the last rows belong to no window: they are in x, get a dx of 0, and give "
            "no tap to dw. Take the shape of x, do not derive it from dy.",
            "the windows fit without a remainder",
        ),
        Mistake(
            "any.mean_for_sum", "A mean stands where a sum should",
            "Sum. A mean over the batch belongs into the loss, and so is in dy already.", "the count divided by is 1",
        ),
        Mistake(
            "any.sign", "The result is a multiple of the right one",
            "Look for a sign, a factor that was applied twice, or a learning rate.", "never",
        ),
        Mistake(
            "any.height_width_swapped", "Height and width are exchanged",
            "Keep one order everywhere: rows first, in shapes, strides, paddings and loops.", "everything is square",
        ),
        Mistake(
            "any.groups", "Groups are assigned wrongly",
            "Filter f belongs to group f // (F/G), and reads the channels from (C/G) * group on.", "there is one group",
        ),
        Mistake(
            "any.im2col_order", "A reshape stands where a transpose should",
            "Bring the axes into the order that the reshape assumes: transpose first.", "N = 1 or C = 1",
        ),
        Mistake(
            "any.layout", "Axes stand in another order",
            "State the order of axes, (N, C, H, W) here, and convert with a transpose, never with a reshape.",
            "the extents of the axes are equal, or 1",
        ),
        Mistake(
            "any.batch", "The batch is treated wrongly",
            "dx has an image for each image; dw and db are summed over all of them.", "N = 1",
        ),
        Mistake(
            "any.dilation_ignored", "The dilation is left out, or off by one",
            "Tap k lies k*d from the first one. Frameworks count a dense kernel as d = 1, some libraries as d = 0.",
            "the kernel is 1x1",
        ),
        Mistake(
            "any.activation", "The derivative of an activation is in the wrong place",
            "dy is the gradient with respect to y, before any activation. Multiply by its derivative once, before dx, "
            "dw and db are computed, where the activation stands: between y and the next layer.",
            "there is no activation",
        ),
        Mistake(
            "any.buffer_not_zeroed", "The result is added to what a buffer held",
            "Set dx, dw and db to zero before a backward pass.", "the first call",
        ),
        Mistake(
            "any.convolution_forward", "The layer is a true convolution, or its gradients are",
            "Decide for one: with a rotated kernel in the forward pass, dx and dw take the rotated kernel as well. "
            "Give --mode convolution if that is what the layer should do.",
            "the kernel is symmetric",
        ),
        Mistake(
            "any.low_precision_sum", "The sums are kept in too few digits",
            "Add up in float32 or float64, even where the numbers themselves are narrower.", "the sums are short",
        ),
        Mistake(
            "any.alias", "An array was changed while it was still needed",
            "Write results into arrays of their own. Do not rotate or overwrite w, x or dy in place.",
            "nothing is used again: N = 1, say",
        ),
        Mistake(
            "check.epsilon", "This is a finite difference with too small a step",
            "The layer is linear in x, in w and in b: take a step of 1, which is exact on integers, and float64 else.",
            "never",
        ),
        Mistake(
            "check.kink", "This is a finite difference across the kink of a ReLU",
            "Where y is exactly 0 a central difference gives half of the slope. Check with inputs that keep off 0.",
            "no y is 0",
        ),
        Mistake(
            "check.blind_case", "The case cannot see mistakes",
            "Check with extents that all differ, more than one image, channel, filter and group, a stride, and uneven "
            "padding: `convback case` finds one.",
            "-",
        ),
    )
}  # fmt: skip


def by_name(op: str, rank: int) -> dict[tuple[str, str], Candidate]:
    """The same by id and variant."""
    return {(candidate.id, candidate.what): candidate for candidate in candidates(op, rank)}


def candidates(op: str, rank: int) -> Iterator[Candidate]:
    """All ways in which this result can be computed wrongly."""
    for family in (wrong_kernels, wrong_windows, wrong_arrays):
        yield from (candidate for candidate in family.candidates(rank) if op in candidate.ops)
