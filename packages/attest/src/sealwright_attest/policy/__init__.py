"""Policies: the document, its strict parser, its rules, and the difference of two. No verifier is called from
here.
"""
