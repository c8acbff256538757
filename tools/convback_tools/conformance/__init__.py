"""The conformance kit: tests that hold a backend to the whole contract of `convback.contract`. This is its manual.

For whoever writes a backend, in this repository or elsewhere. Install it, and pytest, and run the kit in any folder::

    pip install "convback[test]"
    pytest --pyargs convback_tools.conformance --convback-backend mine

Without `--convback-backend` it runs for every installed backend that is usable. It takes some seconds for a backend
that is not made of Python loops. `convback verify -b mine` is its better half for numbers: larger problems, all cases
that others know of. The kit is for all that numbers do not show.

What it asks are the cases of the quick suite of `convback verify`, each gradient in each dtype. What a backend does not
support is not held against it, if it says so. Its tests come in this order:

- `test_calls`: called as the core calls them, its functions and plans write every element of `out` and no byte beside
  it. The arrays lie between guards, are aligned to their elements and no further, and `out` holds NaN. Whoever writes
  beyond an array ends the session, as the process could not be trusted any longer.
- `test_contract`: its functions have the signatures of the contract. `supports` gives the same answer every time, None
  or words, and changes nothing. It supports some gradient at all.
- `test_declarations`: `info`, `chosen` and `error_bound`, where it has them, tell the truth.
- `test_gradients`: what it supports is right, in all tiers of `convback verify`.
- `test_layouts`: operands and `out` may lie in memory anyhow. Operands are not written, nor is what lies between the
  elements of `out`.
- `test_needs`: `convback.backward` gives each subset of the gradients, fused or not, as one by one.
- `test_nonfinite`: NaN and infinity make all results that sum them non-finite, and none of other images and groups.
- `test_refusals`: what it does not support is refused in its own words, and nothing is written.
- `test_scratch`: what `convback.workspace` hands out may hold anything. If there is little of it, the answer is right
  or an error.
- `test_state`: neither loading nor calling it changes the environment, the working directory, random states, filters of
  warnings, or how floating-point errors and subnormal numbers are treated.
- `test_threads`: eight new threads may call it at once, and it gives the same on any number of threads of its own.

Results are compared by `==` on integers so small that every sum of them is exact; those of a backend that declares an
`error_bound`, within that bound. No tolerance is chosen.

A failed test has the backend, the case, the gradient and the dtype in its name. A wrong number is reported with its
place, both values, and the command of `convback verify` that repeats it. To repeat a single test::

    pytest --pyargs convback_tools.conformance --convback-backend mine -k "test_threads and dw and float32"

More options:

- `--convback-case WORD` adds a problem, in words as `convback verify --case` takes them. A backend for special layers
  needs it, as the kit can prove nothing about a backend that supports none of the cases.
- `--convback-allow nan-leak` waives the promise that NaN reaches no other image and group, and
  `--convback-allow load-state` that loading changes nothing. Our own backends and PyTorch need neither. JAX needs
  both, as XLA computes groups with masks, and as its import sets environment variables and draws random numbers.
"""
