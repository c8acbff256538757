"""Builds the Cython extensions. Everything else about the package stands in pyproject.toml.

An extension that cannot be built does not stop the install: it is tried again without OpenMP, and if that fails too,
the reason is written beside it as a JSON file of its name, from where `convback backends` shows it.

`CONVBACK_DEBUG_BUILD=1` builds with every check of Cython on and without optimisation.
"""

import json
import os
import platform
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CONVBACK_DEBUG_BUILD", "0") not in ("", "0")

SHELF = "backends/convback_cython"
INCLUDED = sorted(str(path) for pattern in ("*.pxi", "*.h") for path in Path(SHELF).glob(pattern))

# One source, compiled for several instruction sets. The levels of x86-64 say together what belongs together.
X86 = {"avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"], "avx2": ["-march=x86-64-v3"]}
ISAS = {"base": [], **(X86 if platform.machine().lower() in ("x86_64", "amd64") else {})}

EXTENSIONS = [
    Extension(f"convback_cython._kernels_{isa}", [f"{SHELF}/_kernels_{isa}.pyx"], depends=INCLUDED, optional=True)
    for isa in ISAS
]

DIRECTIVES = {
    "language_level": 3,
    "binding": True,
    "embedsignature": True,
    "boundscheck": DEBUG,  # off: each kernel derives its index ranges from the geometry, which the core has checked
    "wraparound": DEBUG,  # off: no kernel uses a negative index
    "initializedcheck": DEBUG,  # off: every memoryview is an argument
    "cdivision": not DEBUG,  # on: divisors are strides and extents, at least 1
    "overflowcheck": DEBUG,
    "nonecheck": DEBUG,
}

HEEDED = ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "CL")  # by compilers, or by setuptools for them
UNIX_FLAGS = ["-O0", "-g"] if DEBUG else ["-O3", "-fno-math-errno"]
MSVC_FLAGS = ["/Od"] if DEBUG else ["/O2"]


class OptionalBuildExt(build_ext):
    """Build with OpenMP, else without, else record why not; never fail. All extensions are built side by side."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = True

    def build_extension(self, ext: Any) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        flags, openmp = (MSVC_FLAGS, ["/openmp"]) if msvc else (UNIX_FLAGS, ["-fopenmp"])
        flags = flags + ([] if msvc else ISAS[ext.name.rpartition("_")[2]])
        built = Path(self.build_lib, self.get_ext_filename(ext.name))
        recipe = _recipe(ext, flags)
        if _is_fresh(built, ext, recipe):
            return
        built.unlink(missing_ok=True)  # one left by an earlier build may be of another source
        failure = ""
        for extra in (openmp, []):
            ext.extra_compile_args = flags + extra
            ext.extra_link_args = [] if msvc else extra
            try:
                super().build_extension(ext)
                break
            except Exception as error:  # compilers and linkers fail with several unrelated classes
                failure = failure or f"{type(error).__name__}: {error}"
                print(f"convback: {ext.name} with flags {extra} was not built: {error}", file=sys.stderr)
        built.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "error": "" if built.exists() else failure,
            "openmp": bool(extra),
            "debug": DEBUG,
            "recipe": recipe,
        }
        _report(built, ext).write_text(json.dumps(report) + "\n", encoding="utf-8")

    def copy_extensions_to_source(self) -> None:
        """For an editable install, whose packages are the source folders."""
        super().copy_extensions_to_source()
        for ext in self.extensions:
            source, built = map(Path, self._get_inplace_equivalent(self.get_finalized_command("build_py"), ext))
            shutil.copy(_report(built, ext), _report(source, ext))
            if not built.exists():
                source.unlink(missing_ok=True)

    def get_outputs(self) -> list[str]:
        """What was built, for the record of installed files; an extension that failed is not there."""
        return [path for path in super().get_outputs() if Path(path).exists()]


def _recipe(ext: Any, flags: list[str]) -> list[str]:
    """What an extension is made of and how: where it is the same, so is the extension.

    Times tell nothing. Every build has a Cython of its own, newer than all that was made before, and makes the C anew.
    """
    content = b"".join(Path(path).read_bytes() for path in [*ext.sources, *ext.depends])
    return [*flags, *(os.environ.get(name, "") for name in HEEDED), sha256(content).hexdigest()]


def _is_fresh(built: Path, ext: Any, recipe: list[str]) -> bool:
    """Whether an earlier build in this folder has made the same: a second install then compiles nothing."""
    if not built.exists() or not _report(built, ext).exists():
        return False
    before = json.loads(_report(built, ext).read_text(encoding="utf-8"))
    return before.get("recipe") == recipe and before["openmp"]  # without OpenMP it is tried again


def _report(built: Path, ext: Any) -> Path:
    """The file beside an extension that says how its build went."""
    return built.with_name(f"{ext.name.rpartition('.')[2]}.json")


setup(ext_modules=cythonize(EXTENSIONS, compiler_directives=DIRECTIVES), cmdclass={"build_ext": OptionalBuildExt})
