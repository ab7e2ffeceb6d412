"""The program. It may never decide anything: the commands call the library and print.

A result that cannot be written ends with 2, so that nobody reads it as a verdict.
"""

import os
import sys
from io import TextIOWrapper

from sealwright_attest.cli.commands import WRONG_USE, run


def main() -> int:
    """Run the command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show it gets its number
    try:
        status = run(sys.argv[1:], sys.stdout.write, sys.stderr.write)
        sys.stdout.flush()
    except OSError as error:
        sys.stderr.write(f"sealwright-attest: the result cannot be written: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has no reader
        return WRONG_USE
    return status


if __name__ == "__main__":
    sys.exit(main())
