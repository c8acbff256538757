"""What somebody computed: a layer, its operands, and the results that are to be judged; and the right results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convback import ConvbackError, ConvGeometry, DTypeError, ParameterError, ShapeError
from convback.contract import OPS, Array
from convback.errors import did_you_mean, quoted
from convback.geometry import Shape
from convback_tools.integers import integer_operands
from convback_tools.notation import arguments
from convback_tools.shapes import fitting
from convback_tools.verification import oracle
from convback_tools.verification.question import EXACT_LIMIT, Question

OPERANDS = ("x", "w", "dy", "b")
RESULTS = OPS
PARAMETERS = ("stride", "padding", "dilation", "groups", "mode")
MODES = ("cross-correlation", "convolution")


@dataclass(frozen=True)
class Submission:
    """A layer with its operands, and what somebody computed for it.

    Attributes
    ----------
    geom : ConvGeometry
    x, w, dy, b : ndarray of float64, or None
        The operands, of the shapes of the layer; dy and b may be missing.
    results : dict of ndarray of float64
        Those of y, dx, dw and db that were computed, of any shape.
    dtypes : dict of str
        The dtype that each array had, before it was widened.
    mode : {"cross-correlation", "convolution"}
    """

    geom: ConvGeometry
    x: Array
    w: Array
    dy: Array | None
    b: Array | None
    results: Mapping[str, Array]
    dtypes: Mapping[str, str]
    mode: str = MODES[0]

    def operands(self, op: str) -> tuple[Array, ...]:
        """The two operands of y, dx or dw, the one of db, with w as a correlation takes it.

        Raises
        ------
        ParameterError
            If one is missing.
        """
        named: dict[str, Array | None] = {"x": self.x, "w": self.correlated(self.w), "dy": self.dy}
        wanted = Question(op, self.geom, np.dtype("float64")).operand_names
        if missing := [name for name in wanted if named[name] is None]:
            raise ParameterError(f"{op} was computed, but {', '.join(missing)}, which it follows from, is missing")
        return tuple(array for name in wanted if (array := named[name]) is not None)

    def right(self, op: str, dtype: Any = np.float64) -> Array:
        """The right result, computed by an oracle that no backend uses."""
        first, *rest = self.operands(op)
        result = oracle.gradient(op, None if op == "db" else self.geom, first, rest[0] if rest else None, dtype)
        if op == "dw":
            return self.correlated(result)
        if op == "y" and self.b is not None:
            result += self.b.reshape(-1, *(1,) * self.geom.rank)
        return result

    def correlated(self, w: Array) -> Array:
        """A kernel, or its gradient, from the mode's order into that of a cross-correlation, or back."""
        return w if self.mode == MODES[0] else np.flip(w, tuple(range(2, w.ndim)))


def submission(members: Mapping[str, Any], **options: Any) -> Submission:
    """What the members of a file say, arrays and parameters by their names; options go before parameters.

    Raises
    ------
    ConvbackError
        If members are missing, unknown or contradict each other.
    """
    if unknown := next((name for name in members if name not in (*OPERANDS, *RESULTS, *PARAMETERS)), None):
        known = (*OPERANDS, *RESULTS, *PARAMETERS)
        raise ParameterError(f"there is no array {unknown!r}.{did_you_mean(unknown, known)} Known: {', '.join(known)}")
    arrays = {name: _widened(name, members[name]) for name in (*OPERANDS, *RESULTS) if name in members}
    if missing := [name for name in ("x", "w") if name not in arrays]:
        raise ParameterError(f"{' and '.join(missing)} missing; a layer is described by its arrays x and w at least")
    chosen = {name: options.get(name) if options.get(name) is not None else members.get(name) for name in PARAMETERS}
    mode = chosen.pop("mode") or MODES[0]
    if mode not in MODES:
        raise ParameterError(f"mode is {quoted(mode)}.{did_you_mean(str(mode), MODES)} Expected one of {MODES}")
    given = {name: value for name, value in chosen.items() if value is not None}
    geom = ConvGeometry(arrays["x"].shape, arrays["w"].shape, **given)
    _check_dy(arrays.get("dy"), geom)
    if "b" in arrays and arrays["b"].shape != (geom.F,):
        raise ShapeError(f"b has shape {arrays['b'].shape}; expected ({geom.F},), one number a filter")
    return Submission(
        geom,
        arrays["x"],
        arrays["w"],
        arrays.get("dy"),
        arrays.get("b"),
        {name: arrays[name] for name in RESULTS if name in arrays},
        {name: str(np.asarray(members[name]).dtype) for name in arrays},
        mode,
    )


def on_integers(geom: ConvGeometry, mode: str | None = None) -> Submission:
    """A layer with operands of small integers, always the same, of which nothing was computed yet."""
    return submission(integer_operands(geom), **arguments(geom), mode=mode)


def _widened(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise DTypeError(f"{name} has dtype {array.dtype}; expected real numbers")
    if array.dtype.kind in "iu" and array.size and max(-int(array.min()), int(array.max())) > EXACT_LIMIT["float64"]:
        raise DTypeError(f"{name} has integers beyond 2^53; expected numbers that float64 holds")
    return array.astype(np.float64)


def _check_dy(dy: Array | None, geom: ConvGeometry) -> None:
    if dy is not None and dy.shape != geom.y_shape:
        raise ShapeError(
            f"dy has shape {dy.shape}, but y of x {geom.x_shape} and w {geom.w_shape} with {_parameters(geom)} has "
            f"{geom.y_shape}; {_fitting(dy.shape, geom)}"
        )


def _fitting(y_shape: Shape, geom: ConvGeometry) -> str:
    """What the parameters may be, from the shapes."""
    try:
        fits = fitting.parameters(geom.x_shape, geom.w_shape, y_shape)
    except ConvbackError:  # of another number of axes, images or filters
        fits = []
    if not fits:
        return "give the parameters of your layer, or see `convback shape`"
    return f"the simplest that fit are {_parameters(fits[0])}; `convback shape` with --x, --w and --y lists others"


def _parameters(geom: ConvGeometry) -> str:
    return f"stride {geom.stride}, padding {geom.padding}, dilation {geom.dilation}"
