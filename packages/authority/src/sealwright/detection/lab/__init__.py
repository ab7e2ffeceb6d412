"""A generated world with attacks hidden in it, and how well the catalogue finds them. Needs the extra
`detect`.

Nothing here touches a running authority: it writes Parquet into a folder of its own.
"""
