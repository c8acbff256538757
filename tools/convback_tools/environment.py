"""Where results come from: versions, machine and threads, as every JSON report carries them."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import convback
from convback.choices import processor


def environment() -> dict[str, Any]:
    """What a reader needs to know to repeat a measurement."""
    return {
        "convback": convback.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas(),
        "platform": platform.platform(),
        "processor": processor(),
        "cpus": os.cpu_count(),
        "threads": convback.get_num_threads(),
    }


def blas() -> str:
    """The BLAS libraries that are loaded, with version and kernels."""
    found = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    return ", ".join(f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}".strip() for lib in found)
