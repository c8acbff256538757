"""Backends come from entry points, load one by one, and do not disturb each other."""

import json

import pytest

import convback

BROKEN = ("broken", "leaving", "outdated", "clash")


def test_names_are_sorted_and_nothing_is_loaded(python):
    result = python(
        "import sys, convback; before = set(sys.modules); names = convback.backends();"
        "print(sorted(names) == names, [m for m in set(sys.modules) - before if m.startswith('convback_')])"
    )
    assert result.out.split() == ["True", "[]"], result.err


def test_unknown_name_suggests_and_lists():
    with pytest.raises(convback.UnknownBackend) as error:
        convback.get_backend("naiv")
    assert "'naiv'. Did you mean 'naive'? Installed: " in str(error.value)


@pytest.mark.parametrize(
    ("plugin", "name", "told"),
    [
        ("broken", "broken", "RuntimeError: the library libmissing.so.7 is not there"),
        ("leaving", "leaving", "SystemExit: goodbye"),
        ("outdated", "outdated", "dx(w, dy, geom, out)"),
        ("clash", "naive", "naive-again 1.0 (naive_again) and convback"),
    ],
)
def test_each_kind_of_failure_says_why(python, plugin, name, told):
    code = f"""
import convback
for attempt in range(2):
    try:
        convback.get_backend({name!r})
    except convback.BackendUnavailable as error:
        print(error)
"""
    result = python(code, plugins=[plugin])
    assert [told in line for line in result.out.splitlines()] == [True, True], result.out + result.err


def test_one_that_fails_does_not_disturb_the_others(command):
    result = command("backends", "--format", "json", plugins=BROKEN)
    status = {row["backend"]: row["status"] for row in result.json["rows"]}
    assert result.code == 0
    assert status["fine"] == "usable"
    assert [status[name] for name in ("broken", "leaving", "outdated", "naive")] == ["unavailable"] * 4
    own = {row["backend"]: row["status"] for row in command("backends", "--format", "json").json["rows"]}
    assert {name: status[name] for name in own if name != "naive"} == {n: s for n, s in own.items() if n != "naive"}


def test_a_stranger_is_listed_selected_and_used(python):
    code = """
import json, numpy as np, convback
dy, x, w = np.ones((1, 4, 6, 6)), np.ones((1, 4, 8, 8)), np.ones((4, 4, 3, 3))
with convback.use_backend("stranger"):
    dx = convback.dx(dy, w, x.shape)
    gradients = convback.backward(dy, x, w)
    only_db = convback.backward(dy, x, w, need=["db"])
flipped = convback.backward(dy, x, w * np.arange(9).reshape(3, 3), mode="convolution", backend="stranger")
expected = convback.backward(dy, x, w * np.arange(9).reshape(3, 3), mode="convolution", backend="naive")
print(json.dumps({
    "listed": "stranger" in convback.backends(),
    "dx": bool((dx == convback.dx(dy, w, x.shape, backend="naive")).all()),
    "backward": all(bool((a == b).all()) for a, b in zip(gradients, convback.backward(dy, x, w, backend="naive"))),
    "flipped": all(bool((a == b).all()) for a, b in zip(flipped, expected)),
    "fused": convback.get_backend("stranger").fused_calls,
    "none": only_db.dx is None and only_db.dw is None,
}))
"""
    result = python(code, plugins=["stranger"])
    assert json.loads(result.out) == {
        "listed": True, "dx": True, "backward": True, "flipped": True, "fused": 2, "none": True,
    }, result.err  # fmt: skip


def test_what_it_does_not_support_is_an_error_that_says_why(python):
    code = """
import numpy as np, convback
for call in (lambda: convback.dx(np.ones((1, 4, 6)), np.ones((4, 4, 3)), (1, 4, 8), backend="stranger"),
             lambda: convback.conv(np.ones((1, 4, 8, 8)), np.ones((4, 4, 3, 3)), backend="stranger")):
    try:
        call()
    except convback.UnsupportedProblem as error:
        print(error)
"""
    lines = python(code, plugins=["stranger"]).out.splitlines()
    assert "it is made for two axes, not 1" in lines[0]
    assert "it has no forward pass" in lines[1]


def test_a_checkout_beside_the_installed_distribution_is_no_clash(monkeypatch):
    from importlib import metadata

    from convback import registry

    found = list(metadata.entry_points(group=registry.GROUP))
    monkeypatch.setattr(metadata, "entry_points", lambda group: found + found)
    registry.offers.cache_clear()
    try:
        assert {len(claims) for claims in registry.offers().values()} == {1}
    finally:
        registry.offers.cache_clear()
