"""Sealwright: a token-signing authority that stays trustworthy when something has already gone wrong.

This distribution is the authority: it issues, publishes, keeps the ledger, detects and responds. It never
holds a private token key; those live in `sealwright_signer`, another process.
"""

__version__ = "0.1.0"
