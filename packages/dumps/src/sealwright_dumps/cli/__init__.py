"""The commands of sealwright-dumps, one file each.

May never do: decide. A command parses its options, calls the library and words the result.
"""
