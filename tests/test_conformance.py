"""The conformance kit passes right backends, and names what is wrong with others: each of its tests is seen to fail."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

import convback

PLUGINS = Path(__file__).with_name("plugins")
SPECIAL = ("--convback-case=mb3ic16iw40oc8kw3", "--convback-case=ic5iw21oc4kw3pw1")  # what `transform` is made for

# Parts of the source of right plug-ins, and what comes before them or in their place.
HEAD = "def supports"
DB = "    out[...] = dy.sum"
PADDED = "np.zeros(padded_shape(geom), out.dtype)"
TAKE = "    padded = workspace"
BOUND = "    (d, w), width = (("
GAUGE = "n * u / (1 - n * u) * gauge"
PLAN = """
def plan(op, geom, dtype):
    first = []
    def run(a, b, out):
        first[:] = first or [b.copy()]
        globals()[op](a, *first, geom, out)
    return run

"""
INFO = "def info():\n    return {'axes': 2}\n\n\n"
CHOSEN = "def chosen(op, geom, dtype):\n    return 'nobody'\n\n\n"
BEHIND = "    np.lib.stride_tricks.as_strided(out, (out.size + 1,), (out.itemsize,))[-1] = 0\n"
SHARED = f"globals().setdefault('kept', {{}}).setdefault((geom, out.dtype), {PADDED})"
FICKLE = "    return next(answers)\n\n\nanswers = iter([None, 'not now'] * 9999)"
GIVES_UP = "    if math.prod(shape) * out.itemsize > workspace.limit():\n        return\n"

LEAK = "] += 0 * dy.sum() + np"
FORGETS = "if db is not None and dw is not None:"
SETS = "import os\n\nos.environ['X'] = ''\n"
SPLIT = "dy[..., __import__('convback').get_num_threads() // 2 :].sum("

# A test of the kit that fails, what it says, and why: a part of a right plug-in, and what stands there instead.
WRONG = [
    ("calls::its_functions_write_all_of_out_and_nothing_else", "got nan", "out[...] = padded", "out[...] += padded"),
    ("calls::its_functions_write_all_of_out_and_nothing_else", "beyond out: byte 1 behind its last", DB, BEHIND + DB),
    ("calls::its_functions_write_all_of_out_and_nothing_else", "changes its operand dy", DB, f"    dy *= 2\n{DB}"),
    ("calls::its_plans_write_all_of_out_and_nothing_else", "called directly once more", HEAD, PLAN + HEAD),
    ("contract::it_satisfies_the_contract", "CONTRACT is 0", "CONTRACT = 1", "CONTRACT = 0"),
    ("contract::supports_is_plain_and_changes_nothing", "supports raised", "geom is not None", "geom.groups"),
    ("contract::supports_is_plain_and_changes_nothing", "not now", "    return None", FICKLE),
    ("contract::supports_is_plain_and_changes_nothing", "random state of NumPy", " None\n", " np.random.seed()\n"),
    ("contract::it_supports_a_gradient", "supports no gradient of any", "    return None", "    return 'not yet'"),
    ("declarations::info_is_a_dictionary_of_short_strings", "('axes', 2)", HEAD, INFO + HEAD),
    ("declarations::chosen_names_another_backend_that_supports_this", "'nobody'", HEAD, CHOSEN + HEAD),
    ("declarations::its_error_bound_is_finite_and_holds", "not finite", GAUGE, "np.inf * gauge"),
    ("declarations::its_error_bound_is_finite_and_holds", "on integers", GAUGE, "u / 99 * gauge"),
    ("declarations::its_error_bound_is_finite_and_holds", "changes its operands", BOUND, f"    a *= 2\n{BOUND}"),
    ("gradients::what_it_supports_is_right", "repeat with: convback verify -b wrong", ".sum(", ".sum() * dy.sum("),
    ("gradients::what_it_supports_is_right", "but the call is refused", DB, f"    workspace.take(2**40)\n{DB}"),
    ("gradients::the_adjoint_identities_hold", "the adjoint identity <dw, dw'>", "geom)] = x", "geom)] = abs(x)"),
    ("gradients::answers_to_related_problems_agree", "the relation '", "geom)] = x", "geom)] = abs(x)"),
    ("layouts::operands_may_lie_anyhow", "that are transposed", "= x\n", "= x.ravel('K').reshape(x.shape)\n"),
    ("layouts::out_may_lie_anyhow", "an out that is contiguous", "out[...] = padded", "out[...] += padded"),
    ("needs::backward_gives_every_subset_of_the_gradients", "need=('dx', 'db')", "if db is not None:", FORGETS),
    ("nonfinite::they_are_not_lost", "is lost: dw[", "geom)] = x", "geom)] = np.nan_to_num(x)"),
    ("nonfinite::they_reach_no_other_image_and_no_other_group", "of another image or group", "] += np", LEAK),
    ("refusals::what_it_refuses_is_left_alone", "for two axes, not 0.", "not {geom.rank}", "not {np.random.rand()}"),
    ("scratch::what_was_in_its_scratch_memory_does_not_matter", "with NaN in its", "    padded[...] = 0\n", ""),
    ("scratch::little_scratch_memory_is_enough_or_an_error", "with 4096 bytes of scratch", TAKE, GIVES_UP + TAKE),
    ("state::loading_it_leaves_the_process_as_it_was", "os.environ: X was None", HEAD, SETS + HEAD),
    ("state::calling_it_leaves_the_process_as_it_was", "np.geterr()", DB, f"    np.seterr(all='ignore')\n{DB}"),
    ("threads::new_threads_may_call_it_all_at_once", "from 8 threads at once", PADDED, SHARED),
    ("threads::it_gives_the_same_on_any_number_of_threads", "on 2 threads", "dy.sum(", SPLIT),
]


def test_our_own_backends_pass(kit, own_backend):
    backend = convback.get_backend(own_backend)
    if hasattr(backend, "PRACTICAL_MACS"):
        pytest.skip("the kit takes half a minute for loops in Python")
    tests = ".test_declarations" if hasattr(backend, "chosen") else ""  # the rest is that of other backends
    # What its test_gradients does, our tests of gradients do.
    result = kit(f"--convback-backend={own_backend}", "-k", "not test_gradients", tests=tests)
    assert result.code == 0, result.out


def test_right_strangers_pass(kit):
    plugins = ["stranger", "transform"]
    result = kit(*(f"--convback-backend={name}" for name in plugins), *SPECIAL, plugins=plugins)
    assert result.code == 0, result.out


@pytest.mark.parametrize(("test", "told", "right", "wrong"), WRONG)
def test_what_is_wrong_is_seen_and_named(kit, write_plugin, test, told, right, wrong):
    plugin = "transform" if right in (GAUGE, BOUND) else "stranger"
    source = (PLUGINS / plugin / f"{plugin}_conv.py").read_text(encoding="utf-8")
    assert right in source
    folder = write_plugin("wrong", source.replace(right, wrong, 1))
    module, function = test.split("::")
    result = kit("--convback-backend=wrong", "-x", *SPECIAL, tests=f".test_{module}::test_{function}", plugins=[folder])
    assert result.code == 1, result.out + result.err
    assert re.search(rf"^FAILED .*::test_{function}\[wrong", result.out, re.MULTILINE)
    assert told in result.out


def test_every_test_is_seen_to_fail():
    sources = [path for path in files("convback_tools.conformance").iterdir() if path.name.startswith("test_")]
    tests = {
        f"{path.name[5:-3]}::{name}"
        for path in sources
        for name in re.findall(r"^def test_(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert tests == {test for test, *_ in WRONG}


def test_who_writes_beyond_an_array_ends_the_session(kit, write_plugin):
    source = (PLUGINS / "stranger" / "stranger_conv.py").read_text(encoding="utf-8")
    result = kit("--convback-backend=wrong", plugins=[write_plugin("wrong", source.replace(DB, BEHIND + DB))])
    assert "wrong writes beyond its arrays" in result.out
    assert "1 failed" in result.out.splitlines()[-1]


def test_a_promise_can_be_waived(kit, write_plugin):
    source = (PLUGINS / "stranger" / "stranger_conv.py").read_text(encoding="utf-8")
    leaking = write_plugin("wrong", source.replace("] += np", LEAK))
    result = kit(
        "--convback-backend=wrong", "--convback-allow=nan-leak", "-rs", tests=".test_nonfinite", plugins=[leaking]
    )
    assert result.code == 0, result.out
    assert "--convback-allow nan-leak" in result.out


def test_without_names_all_that_are_usable_are_asked(kit):
    for options in ((), ("-p", "no:convback")):
        result = kit("-rs", *options, tests=".test_contract", plugins=["stranger", "broken"])
        assert result.code == 0, result.out
        assert "broken' is not usable: RuntimeError: the library libmissing.so.7 is not there" in result.out


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--convback-backend=cyton", "no backend named 'cyton'. Did you mean 'cython'?"),
        ("--convback-case=nonsense", "problem 'nonsense'"),
        ("--convback-allow=everything", "invalid choice: 'everything'"),
    ],
)
def test_wrong_usage(kit, option, told):
    result = kit(option)
    assert result.code == 4
    assert told in result.err


def test_sessions_of_others_are_not_slowed(python):
    code = """
import sys, pytest
before = set(sys.modules)
import convback_tools.pytest_plugin
print(*sorted(set(sys.modules) - before))
"""
    assert python(code).out.split() == ["convback_tools", "convback_tools.pytest_plugin"]
