"""The same check for services in any language: an HTTP service that a proxy asks before it lets a request
through.

May never be reachable by clients directly: it believes what the proxy says about the request.
"""
