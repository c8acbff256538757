"""`convback shape`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from convback import ConvGeometry
from convback.geometry import Shape
from convback_tools import options, report
from convback_tools.report import Report
from convback_tools.shapes import fitting, inverse, presentation
from convback_tools.shapes.words import LIBRARIES


class _Shape(click.ParamType[Shape]):
    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shape:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\s*[(\[]?\s*\d{1,19}(\s*[,x]\s*\d{1,19}){2,4}\s*,?\s*[)\]]?\s*", value):
            self.fail(f"{value!r} is not a shape; expected 3 to 5 extents, such as 1,4,8,8", param, ctx)
        return tuple(map(int, re.findall(r"\d+", value)))


SHAPE = _Shape()


@click.command("shape", short_help="Calculate shapes, either way; say a layer in the words of other libraries.")
@click.argument("word", required=False)
@click.option("--x", "x", type=SHAPE, metavar="N,C,H,W", help="Shape of the input, (N, C, *spatial).")
@click.option("--w", "w", type=SHAPE, metavar="F,C,KH,KW", help="Shape of the weights, (F, C/groups, *kernel).")
@click.option("--y", "y", type=SHAPE, metavar="N,F,HO,WO", help="Shape of the output, and of dy.")
@options.layer_parameters
@click.option(
    "--in", "libraries", multiple=True, type=click.Choice(list(LIBRARIES)),
    help="Add the whole layer with its gradients in the words of this library (repeatable).",
)  # fmt: skip
@options.output
def command(
    word: str | None,
    x: Shape | None,
    w: Shape | None,
    y: Shape | None,
    libraries: tuple[str, ...],
    style: str,
    path: Path | None,
    **parameters: Any,
) -> int:
    """Calculate the shapes of a layer, and say it in the words of PyTorch, TensorFlow, JAX, oneDNN and cuDNN.

    From --x and --w, or from a WORD, which is a problem word or the name of a layer: the shape of y with its formula,
    and the positions of x that no window reads. From --y and --w: every x that gives this y, with its output_padding.
    From all three: the strides, paddings and dilations that lead from x to y, simplest first; parameters that are given
    stay. The exit code is 1 where none does.

    \b
    Examples:
      convback shape --x 1,4,8,8 --w 4,4,3,3 --stride 2 --padding 1
      convback shape --y 1,4,4,4 --w 4,4,3,3 --stride 2 --padding 1
      convback shape --x 1,4,8,8 --w 4,4,3,3 --y 1,4,4,4
      convback shape resnet50-conv1 --in pytorch --in jax
    """
    said = {"libraries": tuple(dict.fromkeys(libraries)), "mode": parameters.pop("mode")}
    given = {name: value for name, value in parameters.items() if value is not None}
    result = _of_word(word, (x, w, y), given, said) if word is not None else _of_shapes(x, w, y, given, said)
    report.write(result, style, path)
    return 0 if result.rows else 1


def _of_word(word: str, shapes: tuple[Shape | None, ...], given: dict[str, Any], said: dict[str, Any]) -> Report:
    if given or any(shape is not None for shape in shapes):
        raise click.UsageError(f"problem {word!r} says all shapes and parameters; give either it or those")
    (case,) = options.chosen_cases("", (word,))
    return presentation.of_layer(case.name, case.geom, **said)


def _of_shapes(
    x: Shape | None, w: Shape | None, y: Shape | None, given: dict[str, Any], said: dict[str, Any]
) -> Report:
    if w is not None and x is not None and y is not None:
        groups = given.pop("groups", None)
        fits = [geom for geom in fitting.parameters(x, w, y, **given) if groups in (None, geom.groups)]
        return presentation.of_fits((x, w, y), fits, **said)
    if w is not None and x is not None:
        return presentation.of_layer("", ConvGeometry(x, w, **given), **said)
    if w is not None and y is not None:
        return presentation.of_origin(inverse.origin(y, w, **given), **said)
    raise click.UsageError("expected --w with --x, with --y or with both, or a problem word such as resnet50-conv1")
