"""Shared Signals transmitter (SSF 1.0, CAEP 1.0, RISC 1.0): tells receivers within a second what was revoked.

An event is in the outbox in the same transaction as what it tells of, and leaves it only when its receiver
has acknowledged it. May never carry a token; subjects are named as the receiver knows them.
"""
