"""Detection: compares what validators saw with what the ledger holds and what the keys were for.

It may never see a token or a subject in clear, never delay issuance, and never decide that something was "not
issued" by the passing of time alone: only against a sight of the ledger that is known to be complete.
"""
