"""Signers on another host: a channel of two processes, one beside the signer and one beside the authority.

Neither is the signer or the authority: both only carry bytes (ADR 0031). Neither may ever hold a token key,
read what it carries, or carry anything before the other side has proved its key.
"""
