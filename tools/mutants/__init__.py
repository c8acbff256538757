"""Mutation tests: does `convback verify` notice when a kernel is wrong?

Many wrong kernels are made out of our own backends, each by one small change of the kind that people make: a bound one
off, two indices exchanged, `=` for `+=`. Each must be found out by `convback verify -b NAME`. See
`python tools/mutants --help`.
"""
