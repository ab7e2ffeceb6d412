"""The process that makes, uses and destroys Sealwright's private keys.

May never import another of our packages, open a network connection, or hand out a private key in any form.
"""

__version__ = "0.1.0"
