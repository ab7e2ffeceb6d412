"""The ledger: what left was entered first, and whoever rewrites it is caught by the next checkpoint."""
