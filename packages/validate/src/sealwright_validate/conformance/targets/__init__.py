"""Relying parties that the suite can put tokens to: ours, libraries as their documentation shows them, and
services.

May never help a target: what a library does not check is not checked for it.
"""
