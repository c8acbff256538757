"""Argument > context > default > environment > auto, across threads and asyncio tasks."""

import asyncio
import threading

import numpy as np
import pytest

import convback

DY, W = np.ones((1, 1, 2)), np.ones((1, 1, 2))


@pytest.fixture
def two():
    """Two usable backends."""
    return [name for name in convback.backends() if name not in ("torch", "jax")][:2]


@pytest.fixture(autouse=True)
def no_default():
    yield
    convback.set_default_backend(None)


def test_order(two, monkeypatch):
    first, second = two
    assert convback.current_backend() == "auto"
    convback.set_default_backend(first)
    assert convback.current_backend() == first
    with convback.use_backend(second):
        assert convback.current_backend() == second
        with convback.use_backend(first):
            assert convback.current_backend() == first
        assert convback.current_backend() == second
    assert convback.current_backend() == first


def test_the_argument_wins_and_the_context_decides(monkeypatch, two):
    ran = []
    real = convback.get_backend

    def spy(name):
        ran.append(name)
        return real(name)

    monkeypatch.setattr("convback.plans.get_backend", spy)
    monkeypatch.setattr("convback.plans._plans", {})
    first, second = two
    with convback.use_backend(first):
        convback.dx(DY, W, (1, 1, 3))
        convback.dx(DY, W, (1, 1, 3), backend=second)
        convback.dx(DY, W, (1, 1, 3))
    assert ran == [first, second]


@pytest.mark.parametrize(
    ("env", "expected"),
    [({}, "auto"), ({"CONVBACK_BACKEND": "naive"}, "naive"), ({"CONVBACK_BACKEND": " "}, "auto")],
)
def test_environment(python, env, expected):
    assert python("import convback; print(convback.current_backend())", env=env).out.split() == [expected]


def test_environment_is_read_once(python):
    code = (
        "import os, convback; os.environ['CONVBACK_BACKEND'] = 'naive'; a = convback.current_backend();"
        "os.environ['CONVBACK_BACKEND'] = 'einsum'; print(a, convback.current_backend())"
    )
    assert python(code).out.split() == ["naive", "naive"]


def test_unknown_backend_in_the_environment_is_an_error(python):
    code = "import numpy as np, convback; convback.db(np.ones((1, 1, 1)))"
    result = python(code, env={"CONVBACK_BACKEND": "cyton"})
    assert "UnknownBackend: no backend named 'cyton'" in result.err


@pytest.mark.parametrize("name", ["CONVBACK_NUM_THREADS", "CONVBACK_WORKSPACE"])
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_bad_numbers_in_the_environment_are_errors(python, name, value):
    code = "import convback; convback.get_num_threads(); convback.workspace.limit()"
    result = python(code, env={name: value})
    assert "ParameterError" in result.err and name in result.err and repr(value) in result.err


def test_threads_of_the_environment(python):
    code = "import convback; print(convback.get_num_threads())"
    assert python(code, env={"CONVBACK_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}).out.split() == ["3"]
    assert python(code, env={"OMP_NUM_THREADS": "5,2"}).out.split() == ["5"]


def test_an_unknown_name_changes_nothing(two):
    convback.set_default_backend(two[0])
    for change in (convback.set_default_backend, lambda name: convback.use_backend(name).__enter__()):
        with pytest.raises(convback.UnknownBackend):
            change("nothing")
        assert convback.current_backend() == two[0]


def test_the_context_ends_with_an_error(two):
    def fail():
        with convback.use_backend(two[1]), convback.use_accuracy("strict"):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (convback.current_backend(), convback.current_accuracy()) == ("auto", "fast")


def test_threads_do_not_see_each_other(two):
    seen, ready = {}, threading.Barrier(len(two))

    def work(name):
        with convback.use_backend(name):
            ready.wait()
            seen[name] = convback.current_backend()
            ready.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in two]
    with convback.use_backend(two[0]):
        inside = threading.Thread(target=lambda: seen.update(new=convback.current_backend()))
        for thread in (*threads, inside):
            thread.start()
        for thread in (*threads, inside):
            thread.join()
    assert seen == {two[0]: two[0], two[1]: two[1], "new": "auto"}


def test_tasks_do_not_see_each_other(two):
    async def work(name):
        with convback.use_backend(name):
            await asyncio.sleep(0)
            return convback.current_backend()

    async def both():
        return await asyncio.gather(*(work(name) for name in two))

    assert asyncio.run(both()) == two


def test_many_threads_at_once(backend):
    rng = np.random.default_rng(3)
    dy, w = rng.integers(-9, 9, (2, 3, 5, 5)).astype("f4"), rng.integers(-9, 9, (3, 2, 3, 3)).astype("f4")
    expected = convback.dx(dy, w, (2, 2, 7, 7), backend=backend)
    wrong = []

    def work():
        answers = [convback.dx(dy, w, (2, 2, 7, 7), backend=backend) for _ in range(5)]
        wrong.extend(answer for answer in answers if not np.array_equal(answer, expected))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_auto_says_who_runs_and_takes_strangers_from_the_environment(python):
    code = (
        "import numpy as np, convback; auto = convback.get_backend('auto');"
        "geom = convback.ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3));"
        "print(auto.chosen('dx', geom, np.dtype('f4')), auto.chosen('y', geom, np.dtype('f4')))"
    )
    plain = python(code).out.split()
    assert set(plain) <= set(convback.backends()) - {"torch", "jax", "auto"}
    chosen = python(code, plugins=["stranger"], env={"CONVBACK_AUTO": "stranger"}).out.split()
    assert chosen == ["stranger", plain[1]]  # the stranger has no forward pass
    assert "UnknownBackend" in python(code, env={"CONVBACK_AUTO": "nobody"}).err


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system cannot fork")
def test_a_forked_child_runs_on_one_thread(python):
    code = """
import os, numpy as np, convback
x, w = np.ones((4, 16, 40, 40), "f4"), np.ones((16, 16, 3, 3), "f4")
convback.set_num_threads(2)
convback.conv(x, w)
child = os.fork()
if child == 0:
    convback.conv(x, w)
    os._exit(convback.get_num_threads())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(code).out.split() == ["1"]
