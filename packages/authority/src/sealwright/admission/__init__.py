"""Admission: who may serve as a signer, and the root of trust that says who decides that.

The supervisor's room. It holds the root key and the admission key, so it runs in a process that faces no
network and never in the authority; it never holds a token key and never asks for one.
"""
