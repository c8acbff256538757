"""Problem words: what they mean, and that word -> geometry -> word is the identity."""

import json
import random
from pathlib import Path

import pytest
from convback_tools import notation, suites

from convback import ConvbackError, ConvGeometry

PEERS = Path(__file__).parents[2] / "shared" / "data" / "peer_cases.jsonl"

# Two words of other projects whose stated geometry differs from ours only in the notation's own gaps: the first lists
# the trailing padding without a zero that no tap reads, the second was stated for a convolution of that name.
EXCEPTIONS = {"P0578", "P1611"}


def random_geometry(rng):
    while True:
        rank, groups = rng.randint(1, 3), rng.choice([1, 1, 2, 3, 5])
        x = (rng.choice([0, 1, 2, 7]), groups * rng.choice([0, 1, 2, 9]), *(rng.randint(0, 40) for _ in range(rank)))
        w = (groups * rng.choice([0, 1, 3]), x[1] // groups, *(rng.randint(1, 7) for _ in range(rank)))
        stride, dilation = ([rng.randint(1, 5) for _ in range(rank)] for _ in range(2))
        pairs = [[rng.randint(0, 6) for _ in range(2)] for _ in range(rank)]
        try:
            return ConvGeometry(x, w, stride, pairs, dilation, groups)
        except ConvbackError:
            continue


def test_round_trip_of_random_geometries():
    rng = random.Random(1)
    for _ in range(10_000):
        geom = random_geometry(rng)
        word = notation.to_word(geom)
        assert notation.parse(word).geom == geom, word
        assert notation.to_word(notation.parse(word).geom) == word


def test_round_trip_of_all_suites():
    for name in set(suites.SUITES) - {"grid"}:  # which has over 100,000 small ones
        for case in suites.suite(name):
            assert notation.parse(case.word).geom == case.geom


@pytest.mark.parametrize(
    ("word", "geom"),
    [
        ("ic3ih32oc8kh3", ConvGeometry((2, 3, 32, 32), (8, 3, 3, 3))),
        ("g1mb2ic3ih32iw32oc8kh3kw3sh1sw1ph1pw1dh0dw0", ConvGeometry((2, 3, 32, 32), (8, 3, 3, 3), 1, 1)),
        ("ic3iw9oc8kw2dw3", ConvGeometry((2, 3, 9), (8, 3, 2), dilation=4)),
        ("ic3id9oc8kd2sd2", ConvGeometry((2, 3, 9, 9, 9), (8, 3, 2, 2, 2), 2)),
        ("mb1_ic3ih9_oc8kh3_ph2_iw7kw1", ConvGeometry((1, 3, 9, 7), (8, 3, 3, 1), 1, (2, 0))),
        ("ic4oc8iw10kw3ow10", ConvGeometry((2, 4, 10), (8, 4, 3), 1, 1)),
        ("ic4oc8iw10kw4ow10", ConvGeometry((2, 4, 10), (8, 4, 4), 1, ((1, 2),))),
        ("ic4oc8iw10kw3ow5sw2pw1", ConvGeometry((2, 4, 10), (8, 4, 3), 2, ((1, 0),))),
        ("ic4oc8iw10kw3pw1qw5", ConvGeometry((2, 4, 10), (8, 4, 3), 1, ((1, 5),))),
        ("g2ic4oc8iw10kw3", ConvGeometry((2, 4, 10), (8, 2, 3), groups=2)),
    ],
)
def test_meaning(word, geom):
    assert notation.parse(word).geom == geom
    assert notation.parse(word + 'n"any name: 1*2"') == (geom, "any name: 1*2")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("", "nothing"),
        ("resnet", "'resnet'"),
        ("ic3ih32oc8kh3zz4", "'zz4'"),
        ("ic3ih32oc8kh3ic4", "twice"),
        ("ih32oc8kh3", "lacks 'ic'"),
        ("ic3ih32kh3", "lacks 'oc'"),
        ("ic3oc8", "no spatial axis"),
        ("ic3ih32oc8", "lacks 'kh'"),
        ("ic3kh3oc8", "lacks 'ih'"),
        ("g2ic3ih9oc8kh3", "does not divide"),
        ("g0ic3ih9oc8kh3", "groups is 0"),
        ("ic3ih9oc8kh3sh0", "stride[0] is 0"),
        ("ic3ih2oc8kh3", "covers 3 positions"),
        ("ic3ih9oc8kh3oh50ph0qh0", "says oh50"),
        ("ic3ih9oc8kh-3", "'kh-3'"),
        (f"ic3ih9oc8kh3sh{9:05000}", "is not understood"),  # more digits than Python makes an integer of
    ],
)
def test_bad_words_are_refused(word, told):
    with pytest.raises(ConvbackError) as error:
        notation.parse(word)
    assert told in str(error.value)


@pytest.mark.skipif(not PEERS.exists(), reason="the collection of other projects' cases is not at hand")
def test_words_of_other_projects():
    checked = 0
    for line in PEERS.read_text(encoding="utf-8").splitlines():
        peer = json.loads(line)
        if "descriptor" not in peer or peer["id"] in EXCEPTIONS:
            continue
        geom = ConvGeometry(
            (peer["n"], peer["c"], *peer["spatial_in"]),
            (peer["f"], peer["c"] // peer["groups"], *peer["kernel"]),
            peer["stride"],
            peer["pad"],
            peer["dilation"],
            peer["groups"],
        )
        assert notation.parse(peer["descriptor"], deconvolution="from_op" in peer).geom == geom, peer
        checked += 1
    assert checked > 1700


def test_a_deconvolution_is_dx():
    geom = notation.parse("mb2ic5iw7oc3ow15kw3sw2", deconvolution=True).geom
    assert (geom.x_shape, geom.y_shape, geom.w_shape) == ((2, 3, 15), (2, 5, 7), (5, 3, 3))
    assert notation.parse("mb2ic5iw7oc3kw3sw2", deconvolution=True).geom == geom
