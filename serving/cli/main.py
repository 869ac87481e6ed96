"""`testbed`: one verb a stage; each reads and writes files, so each can be run alone."""

from __future__ import annotations

import sys

import typer

from cluster.document import DocumentError
from cluster.extras import MissingExtraError
from cluster.machine import CapacityError
from cluster.providers.state import ClusterError, log_folder
from serving.cli import (
    cluster_verbs,
    demo_verb,
    live_verbs,
    logs_verb,
    plan_verbs,
    problem_verbs,
    run_verbs,
    train_verb,
    zoo_verbs,
)
from serving.cli.console import ExitCode
from serving.errors import BudgetError
from serving.logs.file import OpenLog

__all__ = ["app", "main"]

app = typer.Typer(
    name="testbed",
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for verb in (
    *cluster_verbs.VERBS,
    *logs_verb.VERBS,
    *plan_verbs.VERBS,
    *run_verbs.VERBS,
    *live_verbs.VERBS,
    *demo_verb.VERBS,
    *train_verb.VERBS,
    *problem_verbs.VERBS,
    *zoo_verbs.VERBS,
):
    app.command(name=verb.__name__)(verb)
app.add_typer(problem_verbs.problems, name="problem")
app.add_typer(zoo_verbs.zoo, name="zoo")


def main() -> None:
    """The command line: a fault of input or system ends in one line on stderr and its exit code."""
    log = OpenLog(log_folder(), logs_verb.DRIVER, above="serving")  # makes no file without a line
    try:
        app()  # ends by SystemExit, also for a wrong option or an unknown verb
        code = 0
    except (DocumentError, CapacityError, MissingExtraError) as error:
        code = _complain(error, ExitCode.BAD_INPUT)
    except BudgetError as error:
        code = _complain(error, ExitCode.NOT_MET)
    except ClusterError as error:
        code = _complain(error, ExitCode.FAILED)
    except (ValueError, KeyError) as error:
        code = _complain(error, ExitCode.BAD_INPUT)
    except Exception as error:
        # Ray's own faults arrive as its own types, which are not imported where Ray is not.
        if not type(error).__module__.startswith("ray."):
            raise
        words = " ".join(str(error).split())
        code = _complain(ClusterError(f"Ray: {words[-400:]}"), ExitCode.FAILED)
    finally:
        log.close()
    sys.exit(int(code))


def _complain(error: Exception, code: ExitCode) -> ExitCode:
    words = str(error.args[0]) if isinstance(error, KeyError) else str(error)
    print(f"testbed: {words}", file=sys.stderr)
    return code
