"""Makes a copy of a dump that keeps what debugging needs and nothing else, and proves it before anyone sees
it.

May never do: edit a dump in place, redact by address lists made elsewhere, or leave an output behind when
anything failed.
"""
