"""Gradients of convolution layers, by interchangeable backends that are proven to agree.

Importing this package loads no backend, starts no thread, reads no environment variable and prints nothing.
"""

from convback import contract, workspace
from convback.errors import (
    BackendUnavailable,
    ConvbackError,
    DTypeError,
    ParameterError,
    ShapeError,
    UnknownBackend,
    UnsupportedProblem,
)
from convback.geometry import ConvGeometry
from convback.operations import Gradients, backward, conv, db, dw, dx
from convback.registry import backends, get_backend
from convback.selection import current_accuracy, current_backend, set_default_backend, use_accuracy, use_backend
from convback.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailable",
    "ConvGeometry",
    "ConvbackError",
    "DTypeError",
    "Gradients",
    "ParameterError",
    "ShapeError",
    "UnknownBackend",
    "UnsupportedProblem",
    "__version__",
    "backends",
    "backward",
    "contract",
    "conv",
    "current_accuracy",
    "current_backend",
    "db",
    "dw",
    "dx",
    "get_backend",
    "get_num_threads",
    "set_default_backend",
    "set_num_threads",
    "use_accuracy",
    "use_backend",
    "workspace",
]
