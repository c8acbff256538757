"""An explanation as LaTeX: one `align*` block, which needs the package amsmath."""

from __future__ import annotations

from collections.abc import Iterator

from convback_tools.explanation import formulas
from convback_tools.explanation.presentation import shown
from convback_tools.explanation.rows import text
from convback_tools.explanation.terms import Explanation, Factor, Term


def latex(explanation: Explanation, everything: bool = False) -> str:
    """The formula, a line for each term with its numbers, and the sum; of many terms the first and the last ones."""
    lines = [*_formula(explanation), *_sum(explanation, everything)]
    return "\\begin{align*}\n" + " \\\\\n".join(f"  {line}" for line in lines) + "\n\\end{align*}\n"


def _formula(explanation: Explanation) -> Iterator[str]:
    parts = formulas.formula(explanation.op, explanation.form, explanation.layer, formulas.LATEX)
    product = r"\, ".join(parts.factors)
    if explanation.form == "scatter":
        yield rf"{parts.result} & \mathrel{{+}}= {product}"
    else:
        bias = f"{parts.bias} + " if parts.bias else ""
        yield rf"{parts.result} &= {bias}\sum_{{{','.join(parts.summed)}}} {product}"
    if parts.where:
        yield r"& \quad\text{where}\quad " + r",\quad ".join(parts.where)


def _sum(explanation: Explanation, everything: bool) -> Iterator[str]:
    named = formulas.latex_entry(explanation.op, explanation.index)
    numbered = shown(explanation.terms, everything)
    start, first, last = explanation.start, "=", 0
    if start is not None:
        yield f"{named} &= {_factor(start)} && = {_signed(start.value)}"
        named, first = "", "+"
    for number, term in numbered:
        if number > last + 1:
            yield rf"& \quad\vdots && \quad\vdots && \quad\text{{({number - last - 1} more)}}"
        yield f"{named} &{first} {_term(term)}".lstrip()
        named, first, last = "", "+", number
    yield f"{named} &= {_number(explanation.value)}".lstrip()


def _term(term: Term) -> str:
    letters = r"\, ".join(map(_factor, term.factors))
    values = r" \cdot ".join(_signed(factor.value) for factor in term.factors)
    return f"{letters} && = {values}" + (f" && = {_number(term.product)}" if len(term.factors) > 1 else "")


def _factor(factor: Factor) -> str:
    return formulas.latex_entry(factor.name, factor.index)


def _signed(value: float) -> str:
    """A number that stands beside another one: a negative one in parentheses."""
    written = _number(value)
    return f"({written})" if written.startswith("-") else written


def _number(value: float) -> str:
    """A number as mathematics writes it: no e for the power of ten, a sign for the infinite."""
    digits, _, exponent = text(value).partition("e")
    if digits.lstrip("-") in ("inf", "nan"):
        return digits.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")
    return rf"{digits} \cdot 10^{{{int(exponent)}}}" if exponent else digits
