"""The keeper: the process that alone talks to a PKCS#11 token, forked by the signer before its first key.

It is outside the signer's trusted core (ADR 0030) and has a budget of its own. May never be loaded by the
signer itself, nor answer with anything but public keys, signatures and reasons.
"""
