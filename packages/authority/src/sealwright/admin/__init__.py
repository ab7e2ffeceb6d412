"""Administration: the audit trail, approvals, status and figures, served on a Unix socket that only the owner
opens.

Low in the tree on purpose: an approval is an argument of what it approves, so that no path can forget it. May
never carry out an action itself, and never hold a secret.
"""
