"""Looks for credentials where they should not lie: sources, homes, image tars, logs, staged changes.

May never do: pass a finding over for ever; what is allowed has a reason and an end.
"""
