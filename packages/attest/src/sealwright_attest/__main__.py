"""The program. It may never decide anything: the commands call the library and print."""

import sys

from sealwright_attest.cli.commands import run


def main() -> int:
    """Run the command line and return its exit status."""
    return run(sys.argv[1:], sys.stdout.write, sys.stderr.write)


if __name__ == "__main__":
    sys.exit(main())
