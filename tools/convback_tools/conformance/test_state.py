"""Neither loading it nor calling it changes the state of the process that others rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from convback_tools.conformance import state
from convback_tools.verification.respondent import Respondent

Watch = Callable[..., None]


@pytest.fixture
def watch(environment: dict[str, str], request: pytest.FixtureRequest) -> Watch:
    """`state.main` in a new process: in this one the backend has been loaded and called before."""
    code = f"import sys; from {state.__name__} import main; sys.exit(main(*sys.argv[1:]))"
    env = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    folder = request.config.invocation_params.dir

    def run(*arguments: str) -> None:
        line = [sys.executable, "-c", code, *arguments]
        ended = subprocess.run(line, capture_output=True, text=True, env=env, cwd=folder, check=False)
        if ended.returncode:
            pytest.fail(ended.stderr, pytrace=False)

    return run


def test_loading_it_leaves_the_process_as_it_was(respondent: Respondent, waived: tuple[str, ...], watch: Watch) -> None:
    if "load-state" in waived:
        pytest.skip("--convback-allow load-state")
    watch("loading", respondent.name)


def test_calling_it_leaves_the_process_as_it_was(respondent: Respondent, words: tuple[str, ...], watch: Watch) -> None:
    watch("calling", respondent.name, *words)
