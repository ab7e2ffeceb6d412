"""One file per kind of key material. Each confirms what the sieve suspects, by structure or by arithmetic.

May never do: report on shape alone where a proof is possible; return, log or keep the bytes of a secret.
"""
