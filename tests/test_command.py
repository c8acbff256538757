"""The command as a user runs it: formats, exit codes, and a backend that lies."""

import csv
import io
import json
import os
import shlex

import pytest
from convback_tools import cli
from convback_tools.verification.rows import Row

import convback

SMALL = ("--case", "g2mb1ic4ih10iw12oc6kh3kw2sh2ph1", "--quiet")
OWN = ("-b", "naive", "-b", "einsum", "-b", "cython")


def test_verify_in_json_has_all_rows(command):
    result = command("verify", *OWN, *SMALL, "--format", "json")
    assert result.code == 0, result.err
    report = result.json
    found = {(row["backend"], row["op"], row["dtype"]) for row in report["rows"]}
    ops, dtypes = ("y", "dx", "dw", "db"), ("float32", "float64")
    assert found == {(b, op, d) for b in ("naive", "einsum", "cython") for op in ops for d in dtypes}
    assert set(report["rows"][0]) == set(Row.__dataclass_fields__)
    assert report["summary"]["passed"] == len(report["rows"]) == 48
    assert report["schema"] == 1
    assert report["environment"]["convback"] == convback.__version__
    assert all(row["escape_probability"] <= 2**-40 for row in report["rows"] if row["tier"] == "exact")


def test_a_lying_backend_is_found_and_can_be_repeated(command):
    result = command("verify", "-b", "liar", "--suite", "seed", "--format", "json", plugins=["liar"])
    assert result.code == 1
    failed = [row for row in result.json["rows"] if row["status"] == "failed"]
    assert {row["op"] for row in failed} == {"dw"}
    row = failed[0]
    assert (row["case"], row["worst_index"]) == ("seed-8x8", [3, 3, 2, 2])
    assert row["got"] != row["expected"]
    repeat = shlex.split(row["repro"])
    assert repeat[0] == "convback"
    again = command(*repeat[1:], "--format", "json", plugins=["liar"])
    assert again.code == 1
    (repeated,) = again.json["rows"]
    assert {**repeated, "case": row["case"]} == row
    table = command("verify", "-b", "liar", "--suite", "seed", plugins=["liar"])
    for text in ("liar dw float32", "seed-8x8", "dw[3, 3, 2, 2]", "got", "expected", row["repro"]):
        assert text in table.out


def test_others_run_beside_broken_ones(command):
    result = command("verify", "--all-backends", *SMALL, "--format", "json", plugins=["broken", "leaving"])
    assert result.code == 0
    unavailable = {row["backend"]: row["reason"] for row in result.json["rows"] if row["status"] == "unavailable"}
    assert "libmissing.so.7" in unavailable["broken"]
    assert "goodbye" in unavailable["leaving"]
    assert result.json["summary"]["passed"] >= 48


def test_what_a_backend_prints_is_not_among_the_results(command):
    for arguments in (["backends"], ["verify", "-b", "chatty", *SMALL], ["bench", "-b", "chatty", "--seconds", "0"]):
        result = command(*arguments, "--format", "json", plugins=["chatty"])
        assert result.code == 0, result.err
        json.loads(result.out)
        assert "chatty: imported" in result.err
    assert "chatty: imported" not in command("--version", plugins=["chatty"]).out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["verify", "-b", "cyton", *SMALL], 3, "Did you mean 'cython'?"),
        (["verify", "-b", "broken", *SMALL], 3, "libmissing"),
        (["verify", "-b", "stranger", "--case", "ic4iw9oc4kw3", "--op", "dx"], 3, "two axes"),
        (["verify", "-b", "naive", *SMALL, "--tier", "exact", "--max-macs", "1", "--op", "dx"], 4, "--max-macs 1"),
        (["verify", "-b", "naive", *SMALL, "--max-memory", "1KiB"], 4, "--max-memory 1024"),
        (["verify", "--max-memory", "much"], 2, "'much'"),
        (["verify", "--case", "nonsense"], 2, "'nonsense'"),
        (["verify", "--case", "resnet50-conv"], 2, "Did you mean 'resnet50-conv1'?"),
        (["verify", "--suite", "huge"], 2, "'huge'"),
        (["verify", "-b", "naive", "--all-backends"], 2, "exclude each other"),
        (["verify", "-o", "no/such/folder/file.json"], 2, "no/such/folder"),
        (["verify", "--seed", "-1"], 2, "-1"),
        (["bench", "-b", "naive", "--baseline", "einsum"], 2, "'einsum'"),
        (["bench", "--vs", "naive", "--baseline", "einsum"], 2, "'einsum'"),
        (["bench", "--vs", "cyton", "--seconds", "0"], 3, "Did you mean 'cython'?"),
        (["bench", "-b", "cyton", "--seconds", "0"], 3, "Did you mean 'cython'?"),
        (["bench", "-b", "liar", "--op", "dw", "--seconds", "0"], 1, "wrong"),
        (["bench", "--threads", "0"], 2, "0"),
        (["no-such-command"], 2, "no-such-command"),
        (["backends", "--format", "xml"], 2, "xml"),
    ],
)
def test_exit_codes_and_reasons(command, arguments, code, told):
    result = command(*arguments, plugins=["broken", "stranger", "liar"])
    assert result.code == code, result.out + result.err
    assert told in result.out + result.err
    assert "Traceback" not in result.err


def test_a_bad_environment_is_wrong_usage(command):
    result = command("backends", env={"CONVBACK_NUM_THREADS": "many"})
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert "CONVBACK_NUM_THREADS is 'many'" in result.err


def test_formats_agree(command, tmp_path):
    line = ("verify", "-b", "naive", *SMALL)
    rows = command(*line, "--format", "json").json["rows"]
    records = list(csv.DictReader(io.StringIO(command(*line, "--format", "csv").out)))
    assert [r["repro"] for r in records] == [row["repro"] for row in rows]
    assert "| naive | 4 ok | 4 ok | 4 ok | 4 ok |" in command(*line, "--format", "md").out
    assert "4 ok" in command(*line).out
    for style in ("table", "json", "csv", "md"):
        written = command(*line, "--format", style, "-o", str(tmp_path / "file"))
        assert (written.code, written.out) == (0, "")
        assert (tmp_path / "file").read_text().strip() == command(*line, "--format", style).out.strip()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_results_can_go_to_a_pipe(command, tmp_path):
    """It is written to, and not replaced by a file, as a device such as /dev/null must not be."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert command("case", "seed-8x8", "--format", "json", "-o", str(pipe)).code == 0
    assert pipe.is_fifo()
    assert json.loads(os.read(reader, 2**16))["schema"] == 1
    os.close(reader)


def test_output_has_no_control_characters_without_a_terminal(command):
    result = command("verify", "-b", "naive", *SMALL[:2])
    assert "\x1b" not in result.out + result.err
    assert result.err == ""


def test_fail_fast_stops(command):
    result = command("verify", "-b", "liar", "--fail-fast", "--format", "json", plugins=["liar"])
    assert result.json["summary"]["failed"] == 1
    assert result.json["rows"][-1]["status"] == "failed"


def test_version_tells_what_is_below(command):
    result = command("--version")
    assert result.out.startswith(f"convback {convback.__version__}\n")
    for word in ("Python", "NumPy", "BLAS", "OpenMP", "einsum:"):
        assert word in result.out


def run_main(monkeypatch, capsys, raised):
    def fail(standalone_mode):
        raise raised

    monkeypatch.setattr(cli.cli, "main", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


def test_interrupt_is_130(monkeypatch, capsys):
    code, err = run_main(monkeypatch, capsys, KeyboardInterrupt())
    assert code == 130
    assert "Traceback" not in err


def test_internal_error_is_70_and_says_how_to_report_it(monkeypatch, capsys):
    code, err = run_main(monkeypatch, capsys, RuntimeError("oops"))
    assert code == 70
    assert "oops" in err
    assert "report" in err


def test_a_closed_pipe_is_no_error(python):
    code = """
import subprocess, sys
line = [sys.executable, "-m", "convback_tools", "verify", "-b", "naive", "--suite", "seed", "--format", "json"]
process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
process.stdout.close()
error = process.stderr.read()
print(process.wait(), error)
"""
    assert python(code).out.split() == ["0", "b''"]
