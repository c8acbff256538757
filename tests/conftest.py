"""Fixtures: every test of a gradient runs for each installed backend, and none names one."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest
from convback_tools import suites
from hypothesis import Phase, settings

import convback

PLUGINS = Path(__file__).parent / "plugins"
EXTRAS = metadata("convback").get_all("Provides-Extra")

# No test depends on what the user has tuned, or changes it.
CACHE = tempfile.TemporaryDirectory(prefix="convback-tests-", ignore_cleanup_errors=True)
os.environ["CONVBACK_CACHE"] = CACHE.name

# What is said to this pytest is not for those that tests run.
os.environ.pop("PYTEST_ADDOPTS", None)

# A shell's background job ignores Ctrl-C, and so would the programs whose answer to it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# `pytest --hypothesis-profile=long` draws more, and other examples each time.
PHASES = set(Phase) - {Phase.explain}  # which takes minutes
settings.register_profile("short", max_examples=500, deadline=None, phases=PHASES, derandomize=True)
settings.register_profile("long", max_examples=50_000, deadline=None, phases=PHASES, print_blob=True)
settings.load_profile("short")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    """Leave out the tests marked slow, unless they were asked for."""
    if config.option.slow or "slow" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(params=convback.backends())
def installed(request):
    """Name of each installed backend. One that an extra brings may be missing; one of our own may not."""
    try:
        convback.get_backend(request.param)
    except convback.BackendUnavailable as error:
        if request.param in EXTRAS:
            pytest.skip(str(error))
        raise
    return request.param


@pytest.fixture
def backend(installed):
    """Each of these that sums products, and so is exact on integers."""
    if hasattr(convback.get_backend(installed), "error_bound"):
        pytest.skip("it does not sum products; `verify`, the kit and tests of its own hold it to its bound")
    with convback.use_accuracy("strict"):
        yield installed


@cache
def is_specialist(name):
    """Whether a backend takes some layers only: it refuses even a plain one."""
    plain = convback.ConvGeometry((1, 2, 3, 3), (1, 2, 2, 2))
    return convback.get_backend(name).supports("dx", plain, np.dtype("float32")) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A test of any backend is skipped where a specialist refuses its layer."""
    try:
        return (yield)
    except convback.UnsupportedProblem as error:
        if is_specialist(item.funcargs.get("installed", "auto")):
            pytest.skip(str(error))
        raise


@pytest.fixture
def own_backend(installed):
    """Each installed backend but the peers that extras bring, for promises that are ours alone."""
    if installed in EXTRAS:
        pytest.skip("convback does not promise this of other libraries")
    return installed


@pytest.fixture
def examples(backend):
    """How much of a property that Hypothesis tests: less on peers, as some compile every new shape for long."""
    return settings(max_examples=settings.default.max_examples // (20 if backend in EXTRAS else 1))


@pytest.fixture
def set_threads(monkeypatch):
    """`convback.set_num_threads`, undone after the test."""
    monkeypatch.setattr("convback.threads._chosen", None)
    return convback.set_num_threads


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=["y", "dx", "dw", "db"])
def op(request):
    return request.param


@pytest.fixture(params=suites.suite("quick"), ids=lambda case: case.name)
def case(request):
    """Each case of the quick suite."""
    return request.param


class Result:
    """What a run of the command left: exit code, stdout, stderr."""

    def __init__(self, finished):
        self.code, self.out, self.err = finished.returncode, finished.stdout, finished.stderr

    @property
    def json(self):
        return json.loads(self.out)


def run_python(*arguments, plugins=(), env=(), cwd=PLUGINS, timeout=120):
    """Run Python in a process of its own, beside the fake distributions named in `plugins`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(PLUGINS / name) for name in plugins), **dict(env)}
    line = [sys.executable, *arguments]
    return Result(subprocess.run(line, capture_output=True, text=True, env=environment, timeout=timeout, cwd=cwd))


@pytest.fixture
def command():
    """Run `convback` as a user does; for `plugins` and the rest see `run_python`."""
    return lambda *arguments, **given: run_python("-m", "convback_tools", *arguments, **given)


@pytest.fixture
def python():
    """Run a piece of Python; for `plugins` and the rest see `run_python`."""
    return lambda code, **given: run_python("-W", "error", "-c", code, **given)


@pytest.fixture
def kit(tmp_path_factory):
    """Run the conformance kit, or some tests of it, as a user does in an empty folder whose warnings are errors."""

    def run(*arguments, tests="", **given):
        line = ["-m", "pytest", "-q", "-W", "error", "--pyargs", f"convback_tools.conformance{tests}", *arguments]
        without = ["-p", "no:hypothesispytest", "-p", "no:cacheprovider"]  # neither is needed, and they take time
        return run_python(*line, *without, cwd=tmp_path_factory.mktemp("empty"), **given)

    return run


@pytest.fixture
def write_plugin(tmp_path):
    """Lay a module that offers a backend as an install of it would; returns the folder, for `plugins`."""

    def write(name, source):
        (tmp_path / f"{name}_conv.py").write_text(source, encoding="utf-8")
        metadata = tmp_path / f"{name}_conv-1.0.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-conv\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[convback.backends]\n{name} = {name}_conv\n")
        return tmp_path

    return write
