"""`convback case`: what a case cannot show, and smallest cases that can."""

import json

from convback_tools import suites
from convback_tools.checking.judgement import Judge
from convback_tools.diagnosis.catalogue import candidates
from convback_tools.diagnosis.diagnose import diagnosis
from convback_tools.diagnosis.task import task
from mistakes import asked, first, made


def test_cases_are_told_apart_and_searched(command):
    blind = command("case", "seed-8x8", "--format", "json").json
    assert 0 < blind["blind"] < blind["ways"]
    assert {row["id"] for row in blind["rows"] if row["seen"] == 0} >= {"any.groups", "dx.stride_ignored"}
    (apart,) = command("case", "--apart", "dx.no_rotation", "--apart", "dw.flipped").err.splitlines()[-1:]
    assert "share no result" in apart
    found = command("case", "--apart", "dx.padding_not_cropped", "--apart", "any.leftover", "--format", "json")
    (row,) = found.json["rows"]
    geom = suites.case(row["case"]).geom
    names = ("dx.padding_not_cropped", "any.leftover")
    results = {
        (c.id, c.what): r
        for c in candidates("dx", 2) if c.id in names and (r := made(c, task(asked(geom), "dx"))) is not None
    }  # fmt: skip
    for (name, what), result in results.items():
        finding = first(diagnosis(asked(geom, dx=result), Judge()))
        assert {finding.id, *(tie.id for tie in finding.ties)} == {name}, what
    assert json.dumps(found.json)
