"""A year of keys in a minute: the real rules, service, store, signer and validators under a virtual clock.

Nothing is asserted that is not observed: good tokens are validated, bad ones are presented, and both are
counted.
"""
