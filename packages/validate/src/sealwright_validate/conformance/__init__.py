"""The conformance suite: a throw-away issuer, named tokens good and bad, and ways to put them to a relying
party.

May never be imported by the validating part, and may never issue anything that another trust would accept.
"""
