"""How every command ends: one line on stderr, and the exit code that says whose turn it is.

    0    done
    1    the system did not do what was asked, or something failed on the way
    2    a file, an option or a name was wrong; nothing was touched
    3    all ran, but the result misses what was asked of it (a plan over its budget)
    4    with --strict: a prediction did not hold
    129, 130, 141, 143    ended by a hang-up, by Ctrl-C, by a reader that left, by SIGTERM

An error of a class of ours is told by its own message. Of any other, the line names the file that
has the traceback. With `--json` stdout gets it as well, unless the verb's result is there already:

    {"error": "no.json: No such file or directory; `testbed plan` makes one", "exit_code": 2}
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from cluster.errors import InputError
from cluster.private_folder import make_private
from cluster.providers.state import ClusterError, log_folder
from serving.cli.console import ExitCode, forget_result, result_told
from serving.errors import BudgetError, ServingError

__all__ = ["exit_code_of", "leave"]

# What typer raises for a command line that it cannot read. Its own name for it is private.
USAGE_ERROR = typer.BadParameter.__bases__[0]
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
LONGEST = 400
"""characters of a foreign error's message that are shown"""
_told: ContextVar[str] = ContextVar("told", default="")
"""what the command that runs has complained of"""


def exit_code_of(
    command: Callable[[], object], *, as_json: bool = False, ends_process: bool = False
) -> int:
    """Run `command`, say in one line what went wrong if anything did, and return the exit code.

    `as_json`: say it as an object on stdout too. `ends_process`: the process ends with it. Then
    a signal that comes when the command is over ends it at once, with that code: Python takes up to
    a second for its own end, and what was done must not be told as interrupted.
    """
    forget_result()
    _told.set("")
    with _raised_signals() as received:
        code = _run(command, received)
        if as_json and code and (words := _told.get()) and not result_told():
            with suppress(OSError):
                print(json.dumps({"error": words, "exit_code": int(code)}))
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            code = code or 128 + signal.SIGPIPE
        except OSError as error:
            code = code or _complain_of(error)
        if received:  # also where the command took it for the end that it waits for
            code = 128 + received[0]
        if ends_process:
            _end_at_once_on_signals(code)
    if code == 128 + signal.SIGPIPE or _is_broken():
        _discard_stdout()
    return code


def _run(command: Callable[[], object], received: list[int]) -> int:
    try:
        command()
    except typer.Exit as end:
        return int(end.exit_code)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich ends a program this way
            return 128 + signal.SIGPIPE
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        number = received[0] if received else signal.SIGINT
        by = "interrupted" if not received else f"ended by {signal.Signals(number).name}"
        return _complain(by, 128 + number)
    except Exception as error:  # noqa: BLE001
        if isinstance(error, BrokenPipeError) and _reader_left():  # and no peer of ours
            return 128 + signal.SIGPIPE
        return _complain_of(error)
    return ExitCode.OK


def _complain_of(error: Exception) -> int:
    if isinstance(error, USAGE_ERROR):
        return _usage_fault(error)
    # What fails on a node is a fault of the system; Ray gives it the class of its cause as well.
    if type(error).__module__.startswith("ray."):
        cause = getattr(error, "cause", None)
        words = _one_line(str(cause or error))[-LONGEST:]
        return _complain(f"Ray: {words}; the traceback is in {_keep_traceback(error)}")
    if isinstance(error, BudgetError):
        return _complain(str(error), ExitCode.NOT_MET)
    if isinstance(error, InputError):
        return _complain(str(error), ExitCode.BAD_INPUT)
    if isinstance(error, ClusterError | ServingError):
        return _complain(str(error))
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        where = error.filename or "the output"
        return _complain(f"{where}: {error.strerror}; make room, and run the command again")
    words = f"{type(error).__name__}: {_one_line(str(error))[:LONGEST]}"
    told = "" if isinstance(error, OSError) else "this should not happen, please report it: "
    return _complain(f"{words}; {told}the traceback is in {_keep_traceback(error)}")


def _usage_fault(error: Exception) -> int:
    """A command line that cannot be read: the option, what it takes, and where that is written."""
    words = error.format_message()  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been printed, or is the message
        print(words, file=sys.stderr, end="\n" if words else "")
        return ExitCode.BAD_INPUT
    parameter = getattr(error, "param", None)
    if isinstance(error, typer.BadParameter) and error.message and parameter is not None:
        told = error.message.replace("Value error, ", "")
        words = f"{max(parameter.opts, key=len)}: {told}"
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "testbed"
    return _complain(f"{_one_line(words).rstrip('.')}; see `{path} --help`", ExitCode.BAD_INPUT)


def _complain(words: str, code: int = ExitCode.FAILED) -> int:
    """Say it on stderr. What came from a file or an option cannot steer the terminal."""
    shown = "".join(
        sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in words
    )
    _told.set(shown)
    with suppress(OSError):  # nobody reads stderr; the code still says it
        print(f"testbed: {shown}", file=sys.stderr, flush=True)
    return code


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _keep_traceback(error: Exception) -> str:
    """Write the traceback, for this user's eyes only, and return the file's name."""
    text = "".join(traceback.format_exception(error))
    name = f"error-{datetime.now().astimezone():%Y%m%d-%H%M%S}-"
    for folder in (log_folder(), None):  # None: the folder for temporary files
        try:
            if folder is not None:
                make_private(folder)
            descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except OSError:
            continue
        return str(Path(path))
    print(text, file=sys.stderr)
    return "the lines above, since no file could be written"


@contextmanager
def _raised_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGHUP do in here what Ctrl-C does; yields the numbers of those received.

    So whatever ends in order at Ctrl-C, an event loop for one, ends so at a service manager's stop.
    A signal that is ignored stays ignored (`nohup`).
    """
    received: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a script's shell does with `&`
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                former[number] = signal.signal(number, end)
    try:
        yield received
    finally:
        for number, handler in former.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


def leave(code: int) -> NoReturn:
    """End the process at once, with all that was said. Python's own end would take up to a second
    to free what the process holds, and a signal that comes then ends it as if the command had not
    been done."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_at_once_on_signals(code: int) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        leave(code)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _reader_left() -> bool:
    """Whether nobody reads stdout or stderr any more."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream of tests has no number
            poll.register(stream.fileno(), select.POLLERR)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _is_broken() -> bool:
    """Whether what stdout still holds cannot be written, so that Python's own end would fail."""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _discard_stdout() -> None:
    """Let what was not read go nowhere, or Python complains of it when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
