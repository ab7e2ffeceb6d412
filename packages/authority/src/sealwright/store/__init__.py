"""The rooms' ports on a SQL database: one file per room, its tables beside their use.

Only `wiring` imports this package. A store file may import a room's `model` and `ports`, never its rules or
service.
"""
