"""The demo: two clients, and one mail API guarded in two ways, so that anyone can see the difference.

The guarded one asks `sealwright_validate`; its twin is guarded as the mail system of 2023 was. Nothing
outside `demo` and its command may depend on this room, and nothing in it is fit for real mail.
"""
