"""Layers that must be refused, by an error of convback's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import convback
from convback import ConvbackError, ConvGeometry
from convback.geometry import Shape
from convback_tools.verification.rows import Row

CORE = "(core)"  # what refuses it, before any backend is asked


@dataclass(frozen=True)
class Refusal:
    """Parameters that no layer has.

    Attributes
    ----------
    arguments : tuple
        Of `ConvGeometry`.
    y_spatial : tuple of int
        Output positions that somebody's dy has; () if unknown.
    """

    name: str
    arguments: tuple[Any, ...]
    y_spatial: Shape = ()

    def row(self) -> Row:
        """Whether it is refused; the same for every backend, as none is asked."""
        status = "failed"
        try:
            self._use()
            reason = "it is accepted; expected an error"
        except ConvbackError as error:
            status, reason = "passed", f"{type(error).__name__}: {error}"
        except Exception as error:  # whatever else it is, it is no refusal
            reason = f"it ends in {type(error).__name__}: {error}, which is no error of convback's own"
        return Row(self.name, None, CORE, None, "refusal", status, reason=reason)

    def _use(self) -> None:
        """Make the layer, and dx of it for the dy of somebody.

        Where that dy fits, what is refused is an x that a transposed convolution makes with an output padding as large
        as the stride: dy is too short for it.
        """
        geom = ConvGeometry(*self.arguments)
        grown = (r + s for r, s in zip(geom.x_spatial, geom.stride, strict=True))
        x_shape = (*geom.x_shape[:2], *grown) if self.y_spatial == geom.y_spatial else geom.x_shape
        dy, w = (np.broadcast_to(np.float32(0), s) for s in ((geom.N, geom.F, *self.y_spatial), geom.w_shape))
        layer: dict[str, Any] = {"stride": geom.stride, "padding": geom.padding, "dilation": geom.dilation}
        if self.y_spatial:
            convback.dx(dy, w, x_shape, **layer, groups=geom.groups)
