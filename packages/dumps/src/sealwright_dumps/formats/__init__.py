"""Readers of containers: cores, minidumps, archives, compressed streams.

May never do: believe a length, an offset or a count before it is checked against the bytes that are there.
"""
