"""What anybody may read: metadata, keys, manifest, root, ledger. Everything here is public and nothing is
decided.
"""
