"""The only way out for a dump: quarantine, scan, redact, approve, release. Every step is a ledger leaf.

May never do: put an unscanned byte outside the spool, release what it cannot prove, or take a step without a
leaf.
"""
