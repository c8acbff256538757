"""The command `convback`: gathers the subcommands and owns the exit codes."""

from __future__ import annotations

import platform
import sys
import traceback

import click
import numpy as np

import convback
from convback import ConvbackError
from convback_tools.benchmark.command import command as bench
from convback_tools.checking.command import command as check
from convback_tools.diagnosis.case_command import command as case
from convback_tools.diagnosis.command import command as diagnose
from convback_tools.environment import blas
from convback_tools.explanation.command import command as explain
from convback_tools.inventory.command import command as backends
from convback_tools.inventory.command import details
from convback_tools.progress import stdout_for_results
from convback_tools.shapes.command import command as shape
from convback_tools.tuning.command import command as tune
from convback_tools.vectors.command import command as vectors
from convback_tools.verification.command import command as verify

USAGE, INTERRUPTED, INTERNAL = 2, 130, 70
ISSUES = "Please report it, with the command and the text above, where you got convback from."


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"convback {convback.__version__}")
        click.echo(f"Python {platform.python_version()}, NumPy {np.__version__}, BLAS {blas() or 'unknown'}")
        with stdout_for_results():
            lines = [f"{name}: {details(name)}" for name in convback.backends()]
        click.echo("\n".join(lines))
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show versions of convback, of NumPy with its BLAS, and of every backend, and exit.",
)  # fmt: skip
def cli() -> None:
    """Gradients of convolution layers, by interchangeable backends that are proven to agree.

    Results go to stdout, progress and talk to stderr.
    """


for subcommand in (backends, verify, bench, tune, check, diagnose, case, vectors, shape, explain):
    cli.add_command(subcommand)


def main() -> None:
    """Run the command and exit: 2 wrong usage, 130 interrupted, 70 an internal error, else as the command says."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = USAGE
    except ConvbackError as error:
        click.echo(f"Error: {error}", err=True)
        code = USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = INTERRUPTED
    except Exception:  # the outermost frame of the program
        traceback.print_exc()
        click.echo(f"This is an error in convback {convback.__version__} itself. {ISSUES}", err=True)
        code = INTERNAL
    sys.exit(code)
