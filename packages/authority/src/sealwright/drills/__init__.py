"""Attacks carried out on purpose against a sandbox of their own, with a verdict for every control.

A drill starts real processes on free loopback ports with state in a temporary directory. Nothing here can be
reached from a running authority, and no configuration selects the custody that hands out keys: it is another
program.
"""
