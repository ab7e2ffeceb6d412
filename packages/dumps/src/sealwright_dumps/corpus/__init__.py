"""Makes files with planted keys, so that recall and false positives can be measured.

May never do: contain a key. Every key is made when the corpus is made.
"""
