"""`convback case`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from convback import ConvGeometry, ParameterError
from convback.errors import did_you_mean
from convback_tools import notation, options, report
from convback_tools.diagnosis import search
from convback_tools.diagnosis.blindness import of_case
from convback_tools.diagnosis.catalogue import CATALOGUE, candidates
from convback_tools.progress import progress
from convback_tools.report import Report
from convback_tools.submission import RESULTS


@dataclass(frozen=True)
class Sight:
    """How much of a mistake a case shows: of so many ways to make it, in which results."""

    id: str
    title: str
    seen: int
    ways: int
    unseen_in: tuple[str, ...]
    unseen_when: str


@dataclass(frozen=True)
class Found:
    """A case that was looked for, and how many ways to be wrong it shows."""

    case: str
    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    shows: int


@click.command("case", short_help="How blind a case is, and smallest cases that see or tell mistakes.")
@click.argument("word", required=False)
@click.option(
    "--like", metavar="WORD",
    help="Find the smallest case that sees all that can go wrong with the features of this one: its number of axes, "
    "and stride, padding, dilation, groups and several images, if it has them.",
)  # fmt: skip
@click.option(
    "--apart", "ids", multiple=True, metavar="ID",
    help="Find the smallest case that shows these mistakes, and tells them apart (repeatable); with --like, like that.",
)  # fmt: skip
@options.quiet
@options.output
def command(
    word: str | None, like: str | None, ids: tuple[str, ...], quiet: bool, style: str, path: Path | None
) -> int:
    """How blind a case is, and smallest cases that see or tell mistakes.

    WORD, a problem word such as g1mb1ic4ih8iw8oc4kh3kw3 or the name of a layer, is a case that gradients are to be
    checked with. Some mistakes leave its results as they are: a case with a stride of 1 says nothing of strides. Those
    it cannot show are listed, for the catalogue of `convback diagnose`.

    \b
    Exit codes:
      0  done
      2  wrong usage
      4  there is no such case

    \b
    Examples:
      convback case seed-8x8
      convback case --like g1mb2ic3iw9oc4kw3sw2pw1
      convback case --apart dx.no_rotation --apart dx.flip_axes
    """
    if (word is None) == (like is None and not ids):
        raise click.UsageError("expected a WORD, or --like or --apart")
    if word:
        report.write(blindness(word, _geometry(word)), style, path)
        return 0
    geom = _geometry(like or "strided-8x8")
    found = _telling(ids, geom, quiet) if ids else _covering(geom, like or "", quiet)
    report.write(found, style, path)
    return 0 if found.rows else 4


def _geometry(word: str) -> ConvGeometry:
    (case,) = options.chosen_cases("", (word,))
    if case.geom.is_empty:
        raise ParameterError(f"{word!r} is an empty layer, on which nothing can be seen")
    return case.geom


def blindness(name: str, geom: ConvGeometry) -> Report:
    """What a case cannot show."""
    sights = list(of_case(geom))
    rows = []
    for mistake in dict.fromkeys(sight.candidate.id for sight in sights):
        ways = [sight for sight in sights if sight.candidate.id == mistake]
        places = tuple(dict.fromkeys(sight.op for sight in ways if not sight.seen))
        seen = sum(sight.seen for sight in ways)
        rows.append(Sight(mistake, CATALOGUE[mistake].title, seen, len(ways), places, CATALOGUE[mistake].unseen))
    blind = [row for row in rows if row.unseen_in]
    unseen = sum(row.ways - row.seen for row in rows)
    return Report(
        rows=rows,
        title=f"convback case: {name} cannot show {unseen} of {len(sights)} ways to be wrong",
        columns=["mistake", "shown", "not in", "what it is", "unseen when"],
        cells=[
            [r.id, f"{r.seen} of {r.ways}", " ".join(r.unseen_in), r.title, r.unseen_when]
            for r in sorted(blind, key=lambda r: r.seen / r.ways)
        ],
        notes=["It shows every one." if not blind else f"See more: convback case --like {notation.to_word(geom)}"],
        extra={"blind": unseen, "ways": len(sights)},
    )


def _covering(geom: ConvGeometry, like: str, quiet: bool) -> Report:
    with progress("searching", len(search.spread(search.layers(geom))), quiet) as advance:
        chosen, total = search.covering(geom, advance)
    noun = "case shows" if len(chosen) == 1 else "cases together show"
    title = f"convback case: {len(chosen)} {noun} all {total} ways to be wrong with the features of {like}"
    return _cases(title, chosen)


def _telling(ids: Sequence[str], geom: ConvGeometry, quiet: bool) -> Report:
    for name in ids:
        if name not in CATALOGUE:
            raise ParameterError(
                f"there is no mistake {name!r}.{did_you_mean(name, CATALOGUE)} See `convback diagnose`"
            )
    can_be = {name: {op for op in RESULTS for c in candidates(op, geom.rank) if c.id == name} for name in ids}
    if not set.intersection(*can_be.values()):
        places = "; ".join(f"{name}: {', '.join(sorted(ops)) or 'none'}" for name, ops in can_be.items())
        raise ParameterError(
            f"these mistakes share no result that they can happen to ({places}); nothing to tell apart"
        )
    with progress("searching", min(search.MOST_TRIED, len(search.layers(geom))), quiet) as advance:
        found = search.telling(ids, geom, advance)
    names = " and ".join(ids)
    if found is None:
        return _cases(f"convback case: none of the cases tried shows and tells apart {names}", [])
    op, smallest = found
    return _cases(f"convback case: the smallest case whose {op} shows {names}, and tells them apart", [smallest])


def _cases(title: str, chosen: Sequence[ConvGeometry]) -> Report:
    rows = [
        Found(
            notation.to_word(g), g.x_shape, g.w_shape, g.stride, g.padding, g.dilation, g.groups, len(search.seen(g))
        )
        for g in chosen
    ]  # fmt: skip
    return Report(
        rows=rows,
        title=title,
        columns=["x", "w", "stride", "padding", "dilation", "groups", "shows"],
        cells=[
            [
                *map(options.text_of, (r.x_shape, r.w_shape, r.stride, r.padding, r.dilation)),
                str(r.groups),
                str(r.shows),
            ]
            for r in rows
        ],
        notes=[f"convback check --cmd './mycnn {{in}} {{out}}' --case {row.case}" for row in rows],
    )
