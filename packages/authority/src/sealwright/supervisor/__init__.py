"""The supervisor: starts, watches and ends the processes of `sealwright up`.

It appraises each signer before the authority hears of it, restarts what dies, and ends everything in order.
It reads nothing from a network (the listening socket that it keeps for the authority is never accepted from),
signals only processes that it started, and never sees a token key.
"""
