"""`python -m sealwright_dumps`. May never do: anything but call the program."""

from __future__ import annotations

import sys

from sealwright_dumps.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
