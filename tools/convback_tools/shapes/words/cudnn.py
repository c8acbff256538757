"""The words of cuDNN: the numbers of its descriptors. It has two axes at least and pads both ends of an axis alike."""

from __future__ import annotations

from convback import ConvGeometry
from convback_tools.shapes.words.common import UNREAD, Words, crop, evened, is_even, leading, padded
from convback_tools.shapes.words.onednn import braces

CODE = """\
const int x_dims[] = {x}, w_dims[] = {w}, b_dims[] = {b}, y_dims[] = {y};
const int pad[] = {pad}, stride[] = {stride}, dilation[] = {dilation};
cudnnSetTensorNdDescriptorEx(x_desc, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, {axes}, x_dims);  // dx too
cudnnSetFilterNdDescriptor(w_desc, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, {axes}, w_dims);    // dw too
cudnnSetTensorNdDescriptorEx(b_desc, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, {axes}, b_dims);  // db too
cudnnSetTensorNdDescriptorEx(y_desc, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, {axes}, y_dims);  // dy too
{layer}
cudnnSetConvolutionGroupCount(conv_desc, {groups});
// y: cudnnConvolutionForward, then cudnnAddTensor of b.   dx: cudnnConvolutionBackwardData
// dw: cudnnConvolutionBackwardFilter                      db: cudnnConvolutionBackwardBias"""
LAYER = (
    "cudnnSetConvolutionNdDescriptor(conv_desc, {rank}, {pad}, {stride}, {dilation}, CUDNN_CROSS_CORRELATION, "
    "CUDNN_DATA_FLOAT);"
)
GRAPH = (
    "The graph API has both ends: CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS {lo}, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS {hi}."
)


def words(geom: ConvGeometry) -> Words:
    """The layer as cuDNN has it."""
    even = evened(geom)
    uneven = not is_even(even)
    called = _with_two_axes(padded(geom) if uneven else even)
    numbers = {
        "pad": braces(leading(called)), "stride": braces(called.stride), "dilation": braces(called.dilation)
    }  # fmt: skip
    code = CODE.format(
        x=braces(called.x_shape),
        w=braces(called.w_shape),
        b=braces((1, called.F, *(1,) * called.rank)),
        y=braces(called.y_shape),
        axes=called.rank + 2,
        layer=LAYER.format(rank=called.rank, pad="pad", stride="stride", dilation="dilation"),
        groups=called.groups,
        **numbers,
    )
    notes = []
    if geom.rank == 1:
        notes.append("It has two axes at least: a height of 1 comes before the width.")
    if uneven:
        lo, hi = zip(*geom.padding, strict=True)
        notes.append(
            f"The descriptor pads both ends of an axis alike; so these are the numbers of x with {geom.padding} zeros "
            f"around it, copied there beforehand, and dx is the part {crop(geom, '..., ')} of what comes out."
        )
        notes.append(GRAPH.format(lo=braces(lo), hi=braces(hi)))
    elif not is_even(geom):
        notes.append(UNREAD)
    line = LAYER.format(rank=called.rank, **{name: f"(int[]){text}" for name, text in numbers.items()})
    return Words("cuDNN", line + "  // x is padded beforehand" * uneven, code, tuple(notes))


def _with_two_axes(geom: ConvGeometry) -> ConvGeometry:
    if geom.rank > 1:
        return geom
    x_shape, w_shape = ((*shape[:2], 1, shape[2]) for shape in (geom.x_shape, geom.w_shape))
    padding = ((0, 0), *geom.padding)
    return ConvGeometry(x_shape, w_shape, (1, *geom.stride), padding, (1, *geom.dilation), geom.groups)
