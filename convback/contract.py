"""What a backend is: the manual for whoever writes one.

A backend computes gradients. It is any object with the functions below; a plain module will do. It enters by an entry
point, and nothing else has to be changed anywhere::

    # my_backend.py
    CONTRACT = 1

    def supports(op, geom, dtype): ...     # None, or in words why not
    def dx(dy, w, geom, out): ...
    def dw(dy, x, geom, out): ...
    def db(dy, out): ...

    # pyproject.toml
    [project.entry-points."convback.backends"]
    mine = "my_backend"

The formulas (the alphabet is that of `convback.geometry`; C' = C/G, F' = F/G)::

    y [n,f,i,j]  = sum over c<C',k,l    x[n, (f//F')C'+c, i*sh + k*dh - ph, j*sw + l*dw - pw] * w[f,c,k,l]
    dx[n,.,r,s]  = sum of dy[n,f,i,j] * w[f,c,k,l] over all terms of y that read x[n,.,r,s]
    dw[f,c,k,l]  = sum over n,i,j       dy[n,f,i,j] * x[n, (f//F')C'+c, i*sh + k*dh - ph, j*sw + l*dw - pw]
    db[f]        = sum over n,i,j       dy[n,f,i,j]

What a backend may rely on:

- `geom` is a `ConvGeometry` and has been checked. No sum in it is empty: the core answers empty problems itself.
- Operands and `out` are ndarrays of one dtype, float32 or float64, of the right shapes, aligned, in native byte order
  and C-contiguous. With `LAYOUT = "any"` the operands, but never `out`, may have any strides.
- `out` does not overlap an operand. Its contents are arbitrary (take them for NaN).
- Cross-correlation is the only mode there is: for a true convolution the core flips w, and dw back. It adds the bias.

What a backend must do:

- Write every element of `out`, read none of what was there, and change nothing else.
- Say no in `supports`, never in `dx`, `dw`, `db` or `y`. It is pure: the same question has the same answer, which the
  core remembers. `op` is "dx", "dw", "db" or "y"; `geom` is None for "db".
- Give sums of products, in any order, or else declare `error_bound`.
- Respect `convback.get_num_threads()`, read once a call, and take scratch memory from `convback.workspace.take`.
- Be callable from several threads at once.

What a backend may do besides (leave out what does not apply):

- `y(x, w, geom, out)`: the forward pass. Without it the forward pass is unsupported.
- `plan(op, geom, dtype)`: returns `run(a, b, out)` for "dx", "dw" and "y", with all that depends on the geometry alone
  prepared. Used in place of dx, dw and y; kept for as long as the process may repeat the problem.
- `backward(dy, x, w, geom, dx, dw, db)`: several gradients at once; those not wanted are None. Used when at least two
  are wanted and all those are supported.
- `error_bound(op, geom, a, b)`: an array of the shape of the result; the largest error of each element that the method
  can make, for these operands. Absent: the bound of a sum of K products in any order, gamma_K * sum |a b|.
- `chosen(op, geom, dtype)`: for a backend that passes the work on, the name of the backend that does it, and whose
  `backward` is used where it does both dx and dw.
- `variants(op, geom, operands)`: a dict of names and functions without arguments, each of which computes the same in a
  way that the arrays of the other functions rule out, such as another order of memory, with everything prepared that
  its own users would prepare once. `op` may also be "backward", whose operands are dy, x and w and whose result is the
  three gradients; `geom` is never None. Results are anything that `numpy.asarray` takes. `convback bench --vs` times
  the fastest of them in place of the functions above.
- `peak(dtype, threads)`: the most multiplications and additions a second that its instruction set does on so many
  threads, measured anew. `convback bench` says by it how far each call is from the limit of the machine.
- `candidates(op, geom, dtype)`: for the same, all that it chooses among as a list of `Candidate`, in the order of its
  preference, each with the reason where it is out. The first that is not out is `chosen`.
- `info()`: a dict of short strings, what `convback backends` shows of it.
- `PRACTICAL_MACS`: the number of multiplications beyond which a call takes longer than people wait. `verify` and
  `bench` then leave the backend out, unless `--case` names the problem.

`violations` says what is missing; the registry refuses a backend that has any.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convback.geometry import ConvGeometry

CONTRACT = 1
OPS = ("y", "dx", "dw", "db")
LAYOUTS = ("contiguous", "any")

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]
Run: TypeAlias = Callable[[Array, Array, Array], object]

REQUIRED = {
    "supports": ("op", "geom", "dtype"),
    "dx": ("dy", "w", "geom", "out"),
    "dw": ("dy", "x", "geom", "out"),
    "db": ("dy", "out"),
}
OPTIONAL = {
    "y": ("x", "w", "geom", "out"),
    "plan": ("op", "geom", "dtype"),
    "backward": ("dy", "x", "w", "geom", "dx", "dw", "db"),
    "error_bound": ("op", "geom", "a", "b"),
    "chosen": ("op", "geom", "dtype"),
    "variants": ("op", "geom", "operands"),
    "peak": ("dtype", "threads"),
    "candidates": ("op", "geom", "dtype"),
    "info": (),
}


class Candidate(NamedTuple):
    """A backend that another one may pass a problem on to.

    Attributes
    ----------
    backend : str
        Its name.
    seconds : float or None
        Of one call, predicted or measured; None where nobody knows.
    measured : bool
        Whether they were measured on this machine.
    refusal : str or None
        In words why it is out, or None if it is not.
    """

    backend: str
    seconds: float | None
    measured: bool
    refusal: str | None


class Backend(Protocol):
    """The required part of the contract, for type checkers."""

    CONTRACT: int

    def supports(self, op: str, geom: ConvGeometry | None, dtype: DType) -> str | None: ...
    def dx(self, dy: Array, w: Array, geom: ConvGeometry, out: Array) -> object: ...
    def dw(self, dy: Array, x: Array, geom: ConvGeometry, out: Array) -> object: ...
    def db(self, dy: Array, out: Array) -> object: ...


def violations(obj: object) -> list[str]:
    """Say in which ways an object fails to be a backend.

    Parameters
    ----------
    obj : object
        Usually a module.

    Returns
    -------
    list of str
        One sentence for each violation; empty when `obj` satisfies the contract.
    """
    found = []
    if (contract := getattr(obj, "CONTRACT", None)) != CONTRACT:
        found.append(f"CONTRACT is {contract!r}; this version of convback speaks contract {CONTRACT}")
    if (layout := getattr(obj, "LAYOUT", LAYOUTS[0])) not in LAYOUTS:
        found.append(f"LAYOUT is {layout!r}; expected one of {LAYOUTS}")
    if not isinstance(macs := getattr(obj, "PRACTICAL_MACS", 0), int | float):
        found.append(f"PRACTICAL_MACS is {macs!r}; expected a number")
    for name, parameters in REQUIRED.items():
        found += _function_violations(obj, name, parameters, required=True)
    for name, parameters in OPTIONAL.items():
        found += _function_violations(obj, name, parameters, required=False)
    return found


def _function_violations(obj: object, name: str, parameters: tuple[str, ...], required: bool) -> list[str]:
    function = getattr(obj, name, None)
    expected = f"{name}({', '.join(parameters)})"
    if function is None:
        return [f"{expected} is missing"] if required else []
    if not callable(function):
        return [f"{name} is {function!r}; expected a function {expected}"]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return [f"the signature of {name} cannot be read; in Cython compile with binding=True"]
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    plain = all(p.kind in by_position for p in signature.parameters.values())
    if tuple(signature.parameters) != parameters or not plain:
        return [f"the signature is {name}{signature}; expected {expected}"]
    return []


def refusal(backend: Any, op: str, geom: ConvGeometry | None, dtype: DType) -> str | None:
    """Why a backend does not do this, or None if it does: `supports`, and a missing `y` counts as well."""
    if op == "y" and not hasattr(backend, "y"):
        return "it has no forward pass"
    reason: str | None = backend.supports(op, geom, dtype)
    return reason


def runner(backend: Any, op: str, geom: ConvGeometry, dtype: DType) -> Run:
    """`run(a, b, out)` of a backend for "y", "dx" or "dw": its plan, or its plain function."""
    if hasattr(backend, "plan"):
        planned: Run = backend.plan(op, geom, dtype)
        return planned
    function = getattr(backend, op)

    def run(a: Array, b: Array, out: Array) -> None:
        function(a, b, geom, out)

    return run
