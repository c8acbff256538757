"""Makes `python tools/mutants` and `python -m mutants` the same."""

import sys
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).parents[1]))

from mutants.command import main

main()
