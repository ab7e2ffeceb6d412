"""The supervisor: starts, watches and ends the processes of `sealwright up`.

It appraises each signer before the authority hears of it, restarts what dies, and ends everything in order.
It has no network surface, signals only processes that it started, and never sees a token key.
"""
