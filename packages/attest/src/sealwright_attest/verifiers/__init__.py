"""One module per platform. Each turns untrusted bytes into claims and writes what it checked; none decides
admission.
"""
