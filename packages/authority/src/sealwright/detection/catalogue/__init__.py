"""The detection catalogue: every detection in one place, each with what it means and what to do about it.

`model` and `entries` describe (no optional package needed); the other files hold the expressions, written
once in Ibis and run on any engine that it speaks. Nothing here may name an engine.
"""
