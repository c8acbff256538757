"""The contract, and that all installed backends keep it to the letter."""

import types

import numpy as np
import pytest

import convback
from convback import contract


def minimal():
    module = types.ModuleType("minimal")
    module.CONTRACT = 1
    module.supports = lambda op, geom, dtype: None
    module.dx = lambda dy, w, geom, out: None
    module.dw = lambda dy, x, geom, out: None
    module.db = lambda dy, out: None
    return module


def test_installed_backends_have_no_violations(backend):
    assert contract.violations(convback.get_backend(backend)) == []


def test_a_plain_module_satisfies_it():
    assert contract.violations(minimal()) == []


@pytest.mark.parametrize("name", [*contract.REQUIRED, "CONTRACT"])
def test_what_is_missing_is_named(name):
    module = minimal()
    delattr(module, name)
    (violation,) = contract.violations(module)
    assert name in violation


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CONTRACT", 2, "2"),
        ("LAYOUT", "C", "'C'"),
        ("PRACTICAL_MACS", "many", "'many'"),
        ("dx", 7, "7"),
        ("dx", lambda w, dy, geom, out: None, "dx(w, dy, geom, out)"),
        ("dw", lambda *args: None, "dw(*args)"),
        ("db", lambda dy, out, **more: None, "**more"),
        ("db", lambda dy, *, out: None, "db(dy, *, out)"),
        ("y", lambda x, w, out: None, "y(x, w, out)"),
        ("plan", lambda op, geom: None, "plan(op, geom)"),
        ("backward", lambda dy, x, w, geom: None, "backward(dy, x, w, geom)"),
        ("error_bound", lambda op, geom: None, "error_bound(op, geom)"),
        ("variants", lambda op, geom: {}, "variants(op, geom)"),
        ("peak", lambda dtype: 1.0, "peak(dtype)"),
        ("supports", int.__add__, "supports"),
        ("info", print, "info"),
    ],
)
def test_what_is_wrong_is_quoted(name, value, told):
    module = minimal()
    setattr(module, name, value)
    (violation,) = contract.violations(module)
    assert told in violation


def test_operands_arrive_as_promised(monkeypatch):
    """C-contiguous, aligned and native, unless LAYOUT is "any", which lifts the first; `out` always so."""
    seen = {}
    module = minimal()

    def dx(dy, w, geom, out):
        seen.update(dy=dy, w=w, out=out)
        out[...] = 0

    module.dx = dx
    monkeypatch.setattr("convback.plans.get_backend", lambda name: module)
    dy = np.ones((6, 6, 4, 1), ">f8").transpose(3, 2, 1, 0)[..., ::-1]
    for layout in contract.LAYOUTS:
        module.LAYOUT = layout
        monkeypatch.setattr("convback.plans._plans", {})
        out = np.empty((1, 4, 8, 8), ">f8")
        assert convback.dx(dy, np.ones((4, 4, 3, 3)), (1, 4, 8, 8), out=out, backend="x") is out
        for array in seen.values():
            assert array.flags.aligned and array.dtype.isnative
        assert seen["w"].flags.c_contiguous and seen["out"].flags.c_contiguous
    module.LAYOUT = "any"
    monkeypatch.setattr("convback.plans._plans", {})
    native = dy.astype("f8", order="K")
    convback.dx(native, np.ones((4, 4, 3, 3)), (1, 4, 8, 8), backend="x")
    assert seen["dy"] is native
