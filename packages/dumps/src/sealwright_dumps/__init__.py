"""Finds and removes key material in crash dumps, and guards the only way out for them.

May never do: print, log or store a secret that it found; call a network; trust a file's own account of
itself.
"""

__version__ = "0.1.0"
