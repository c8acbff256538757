"""What was measured is remembered, whatever happens to the file; and never is the file a reason to fail."""

import os
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from convback_tools import suites

import convback
from convback import choices
from convback.choices import Problem
from convback.errors import CacheError

GEOM = suites.case("seed-8x8").geom
PROBLEM = Problem("dx", GEOM, "float32", 1)
SECONDS = {"einsum": 2e-3, "gemm": 1e-3}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that this process remembers things in."""
    monkeypatch.setattr(choices, "folder", lambda: tmp_path)
    choices._mine.cache_clear()
    yield tmp_path
    choices._mine.cache_clear()


@pytest.fixture
def file(folder):
    """The file, with one choice in it."""
    choices.remember(PROBLEM, SECONDS)
    (file,) = folder.iterdir()
    return file


def execute(file, *statements):
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    choices._mine.cache_clear()


def test_what_is_remembered_is_recalled_the_fastest_first(folder):
    assert choices.recall(PROBLEM) == {}
    choices.remember(PROBLEM, SECONDS)
    assert list(choices.recall(PROBLEM).items()) == [("gemm", 1e-3), ("einsum", 2e-3)]
    choices.remember(PROBLEM, {"cython": 3e-3})
    assert choices.recall(PROBLEM) == {"cython": 3e-3}
    (choice,) = choices.remembered()
    assert (choice.problem, choice.seconds, choice.counts) == (PROBLEM, {"cython": 3e-3}, True)


def test_a_choice_counts_for_its_problem_alone(file):
    other = convback.ConvGeometry(GEOM.x_shape, GEOM.w_shape, padding=1)
    for problem in (
        Problem("dw", GEOM, "float32", 1), Problem("dx", other, "float32", 1), Problem("dx", GEOM, "float64", 1),
        Problem("dx", GEOM, "float32", 2),
    ):  # fmt: skip
        assert choices.recall(problem) == {}, problem


@pytest.mark.parametrize("column", ["processor", "version"])
def test_a_choice_of_another_machine_or_version_does_not_count(file, column):
    execute(file, f"update choices set {column} = 'another'")
    assert choices.recall(PROBLEM) == {}
    assert [choice.counts for choice in choices.remembered()] == [False]


def test_the_file_is_read_once_a_process(file, monkeypatch):
    choices.recall(PROBLEM)
    monkeypatch.setattr(choices, "_read", lambda *given: pytest.fail("it was read again"))
    assert choices.recall(PROBLEM)


def overwrite(content):
    return lambda file: file.write_bytes(content)


def truncate(file):
    os.truncate(file, 4096)


def scramble(file):
    data = bytearray(file.read_bytes())
    data[4096:] = bytes(range(256)) * (len(data[4096:]) // 256)
    file.write_bytes(data)


DAMAGE = {
    "text": overwrite(b"this is no database" * 100),
    "header alone": overwrite(b"SQLite format 3\0" + b"\xff" * 500),
    "truncated": truncate,
    "scrambled": scramble,
    "another program's": lambda file: execute(file, "pragma user_version = 7"),
    "other tables": lambda file: execute(file, "drop table choices", "create table theirs (a)"),
    "other columns": lambda file: execute(file, "drop table choices", "create table choices (a)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_ignored_and_then_set_aside(file, damage):
    DAMAGE[damage](file)
    choices._mine.cache_clear()
    with pytest.warns(UserWarning, match="is ignored"):
        assert choices.recall(PROBLEM) == {}
    with pytest.warns(UserWarning, match="is set aside"):
        choices.check()
    choices.remember(PROBLEM, SECONDS)
    assert choices.recall(PROBLEM) == SECONDS
    assert (file.parent / f"{file.name}.broken").exists()


def test_a_page_that_reads_as_zeros_is_found_before_anything_is_written(file):
    os.truncate(file, 5000)
    choices._mine.cache_clear()
    assert choices.recall(PROBLEM) == {}
    assert choices.remembered() == []
    with pytest.warns(UserWarning, match="is set aside"):
        choices.check()


def test_a_journal_is_not_played_into_the_new_file(file):
    journal = file.parent / f"{file.name}-journal"
    file.write_bytes(b"nothing" * 1000)
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    with pytest.warns(UserWarning, match="is set aside"):
        choices.remember(PROBLEM, SECONDS)
    assert not journal.exists()
    assert choices.recall(PROBLEM) == SECONDS


def test_an_empty_file_is_as_good_as_none(file):
    file.write_bytes(b"")
    choices._mine.cache_clear()
    assert choices.recall(PROBLEM) == {}
    choices.remember(PROBLEM, SECONDS)
    assert choices.recall(PROBLEM) == SECONDS


@pytest.mark.parametrize(
    "text", ["", "[", "[1]", "null", "7", '{"gemm": "fast"}', '{"gemm": -1, "einsum": NaN}', "[" * 10**5]
)
def test_seconds_that_are_none_are_ignored(file, text):
    execute(file, f"update choices set seconds = '{text}'")
    assert choices.recall(PROBLEM) == {}
    assert choices.remembered() == []


@pytest.mark.parametrize("change", ["layer = '[]'", "layer = x'ff'", "op = 'dz'", "threads = 'two'", "dtype = 'int8'"])
def test_a_row_that_makes_no_sense_is_left_out(file, change):
    execute(file, f"update choices set {change}")
    assert choices.recall(PROBLEM) == {}
    assert choices.remembered() == []


def test_forget(folder):
    assert choices.forget() == 0
    assert list(folder.iterdir()) == []
    choices.remember(PROBLEM, SECONDS)
    assert choices.forget() == 1
    assert choices.recall(PROBLEM) == {}
    assert choices.remembered() == []


def test_a_folder_that_cannot_be(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setattr(choices, "folder", lambda: folder / "file" / "below")
    assert choices.recall(PROBLEM) == {}
    assert choices.remembered() == []
    with pytest.raises(CacheError, match=r"below.*cannot be written.*CONVBACK_CACHE"):
        choices.remember(PROBLEM, SECONDS)


def test_a_folder_in_place_of_the_file(folder):
    choices._file().mkdir()
    assert choices.recall(PROBLEM) == {}
    with pytest.raises(CacheError, match="cannot be written"):
        choices.check()


def test_python_without_sqlite(folder, monkeypatch):
    monkeypatch.setattr(choices, "sqlite3", None)
    assert choices.recall(PROBLEM) == {}
    with pytest.raises(CacheError, match="without SQLite"):
        choices.check()


def test_a_reader_does_not_wait_for_a_writer(file):
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("begin exclusive")
    choices._mine.cache_clear()
    started = time.perf_counter()
    with pytest.warns(UserWarning, match="locked"):
        assert choices.recall(PROBLEM) == {}
    assert time.perf_counter() - started < 5
    writer.close()


def test_a_writer_that_cannot_have_the_file_sets_nothing_aside(file, monkeypatch):
    monkeypatch.setattr(choices, "WRITER_WAITS", 0.01)
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("begin immediate")
    with pytest.raises(CacheError, match="locked"):
        choices.remember(PROBLEM, SECONDS)
    writer.close()
    assert list(file.parent.iterdir()) == [file]


def test_writers_at_once_lose_nothing(tmp_path):
    code = """
import sys
from convback import ConvGeometry, choices
geom = ConvGeometry((1, 4, 8, 8), (4, 4, 3, 3))
for threads in range(int(sys.argv[1]), 100, 4):
    choices.remember(choices.Problem("dx", geom, "float32", threads + 1), {"gemm": 1.0})
"""
    given = {**os.environ, "CONVBACK_CACHE": str(tmp_path / "new")}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(i)], env=given) for i in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    code = "from convback import choices; print(len(choices.remembered()))"
    assert subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True).stdout == "100\n"


def test_where_the_folder_is(python):
    code = """
from convback import choices
try:
    print(choices.folder())
except Exception as error:
    print(repr(error))
"""
    assert python(code, env={"CONVBACK_CACHE": "/some/where"}).out == "/some/where\n"
    assert python(code, env={"CONVBACK_CACHE": "", "XDG_CACHE_HOME": "/user"}).out == "/user/convback\n"
    nobody = "import os, pwd\npwd.getpwuid = lambda uid: {}[uid]\nos.environ.pop('HOME', None)\n"
    assert "no home folder" in python(nobody + code, env={"CONVBACK_CACHE": "", "XDG_CACHE_HOME": ""}).out


def test_auto_goes_by_what_was_measured(folder, monkeypatch):
    auto = convback.get_backend("auto")
    monkeypatch.setattr("convback.threads._chosen", 1)
    dtype = np.dtype("f4")
    assert auto.chosen("dx", GEOM, dtype) != "naive"
    choices.remember(PROBLEM, {"unheard-of": 1e-9, "grouped": 1e-8, "naive": 1e-7, "gemm": 1e-3})
    assert auto.chosen("dx", GEOM, dtype) == "naive"  # one is not there, and the next does not support it
    listed = auto.candidates("dx", GEOM, dtype)
    assert [c.backend for c in listed if c.measured] == ["grouped", "naive", "gemm"]
    assert [c.measured for c in listed] == [True] * 3 + [False] * (len(listed) - 3)
    assert (listed[1].seconds, listed[1].refusal) == (1e-7, None)
    assert "there is one" in listed[0].refusal
    assert auto.chosen("dw", GEOM, dtype) != "naive"


def test_strangers_come_before_what_was_measured_without_them(folder, monkeypatch):
    auto = convback.get_backend("auto")
    monkeypatch.setattr("convback.threads._chosen", 1)
    monkeypatch.setattr("convback_auto.strangers", lambda: ("naive",))
    choices.remember(PROBLEM, SECONDS)
    assert auto.chosen("dx", GEOM, np.dtype("f4")) == "naive"
    choices.remember(PROBLEM, {**SECONDS, "naive": 5e-3})
    assert auto.chosen("dx", GEOM, np.dtype("f4")) == "gemm"
