"""`python -m sealwright`: the same program as `sealwright`."""

from sealwright.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
