"""The witness: cosigns one growing tree of each log that it knows, and no second one."""
