"""The program: options in, one command, an exit status out. Errors are one line, never a traceback.

May never do: print the private detail of an error unless --verbose asks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module

from sealwright_dumps import __version__
from sealwright_dumps.cli import exits
from sealwright_dumps.errors import DumpsError, Misconfigured, Unavailable

ROOMS = ("scan", "redact", "gate", "verify", "sweep", "drill", "corpus")


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line of one command, or of all: a scan does not load the gate."""
    top = argparse.ArgumentParser(
        prog="sealwright-dumps",
        description="Finds and removes key material in crash dumps, and guards the only way out for them.",
        epilog="Exit status: 0 done, 1 found (if asked for), 2 usage, 3 unscannable, 4 refused, 5 failed.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    top.add_argument("--verbose", action="store_true", help="say the private detail of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for room in (command,) if command in ROOMS else ROOMS:
        import_module(f"sealwright_dumps.cli.{room}").add(commands)
    return top


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: no process, no semaphore and nothing half done is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    with _ended_in_order():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else list(arguments)
    named = next((word for word in words if not word.startswith("-")), "")
    options = parser(named).parse_args(words)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may hold what this terminal cannot show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = int(options.command(options))
        sys.stdout.flush()
    except DumpsError as error:
        detail = f" ({error.detail})" if options.verbose and error.detail else ""
        sys.stderr.write(f"sealwright-dumps: {error}{detail}\n")
        if isinstance(error, Misconfigured):
            return exits.USAGE
        return exits.UNAVAILABLE if isinstance(error, Unavailable) else exits.REFUSED
    except KeyboardInterrupt:
        sys.stderr.write("sealwright-dumps: interrupted\n")
        return exits.UNAVAILABLE
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return exits.UNAVAILABLE
    except OSError as error:  # of our own output, or of a file that nobody foresaw
        sys.stderr.write(f"sealwright-dumps: failed: {error.strerror or error}\n")
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return exits.UNAVAILABLE
    return status
