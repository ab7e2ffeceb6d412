"""Attacks on the dump gate, carried out on purpose in a sandbox, with a verdict for every control.

May never do: touch a running gate, a real spool, a real key or the machine's core_pattern.
"""
