"""The rooms: imports point one way, the core names no backend, and all comes from one place."""

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import convback

CORE = Path(convback.__file__).parent
ROOMS = ("convback_tools", *(f"convback_{name}" for name in ("auto", "cython", "einsum", "jax", "naive", "torch")))
FUNCTIONS = {name for name in convback.__all__ if callable(getattr(convback, name)) and name[0].islower()}


def folder(package):
    return Path(find_spec(package).origin).parent


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def test_the_core_imports_neither_backends_nor_tools():
    found = {name for path in CORE.rglob("*.py") for name in imported(path)}
    assert found & set(ROOMS) == set()
    assert "convback" in found


@pytest.mark.parametrize("package", ROOMS)
def test_backends_and_tools_import_only_the_core_and_themselves(package):
    found = {name for path in folder(package).rglob("*.py") for name in imported(path)}
    assert {name for name in found if name.startswith("convback")} <= {"convback", package}


def test_the_core_names_no_backend():
    """But for the word "auto", which is the default."""
    own = [name for name in ("naive", "einsum", "cython", "torch", "jax") if name in convback.backends()]
    assert own
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in own, f"{path.name}:{node.lineno}"


def test_no_module_bears_the_name_of_a_public_function():
    assert {path.stem for path in CORE.rglob("*.py")} & FUNCTIONS == set()


def test_core_backends_and_tools_come_from_one_place():
    """Else the tests would judge other code than they name. Do not mix a checkout with an installed copy."""
    shelves = {"convback_tools": "tools"}
    installed = CORE.parent
    for package in ROOMS:
        assert folder(package).parent in (installed, installed / shelves.get(package, "backends")), package


def test_import_is_light(python):
    """It loads no backend, prints nothing, reads no environment, starts no thread and takes at most 0.15 s."""
    code = """
import os, sys, threading, time, numpy
class Watched(dict):
    def __getitem__(self, key):
        raise AssertionError(key)
    get = __contains__ = __getitem__
environ, os.environ = os.environ, Watched()
started = time.perf_counter()
import convback
seconds = time.perf_counter() - started
os.environ = environ
loaded = [name for name in sys.modules if name.startswith("convback_")]
print(loaded, threading.active_count(), seconds < 0.15)
"""
    attempts = [python(code) for _ in range(3)]  # a busy machine may delay one of them
    assert {(result.code, result.err) for result in attempts} == {(0, "")}
    assert "[] 1 True\n" in {result.out for result in attempts}


def test_every_public_function_is_documented():
    for name in FUNCTIONS:
        text = getattr(convback, name).__doc__
        assert text, name
        for section in re.findall(r"^ {4}(Parameters|Returns|Raises)$", text, re.MULTILINE):
            assert f"{section}\n    {'-' * len(section)}\n" in text


def test_modules_start_with_a_docstring():
    for package in ("convback", *ROOMS):
        for path in folder(package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


GENERIC = ("gradients", "legal_input", "examples", "regressions", "regressions_process", "fuzz", "determinism")


@pytest.mark.parametrize("tests", [f"test_{name}.py" for name in GENERIC])
def test_tests_of_gradients_name_no_backend(tests):
    """They run for every installed backend, through the fixture."""
    text = (Path(__file__).parent / tests).read_text(encoding="utf-8")
    assert "backend" in text
    for name in convback.backends():
        assert not re.search(rf"""["']{name}["']""", text), name
