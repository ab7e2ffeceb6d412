"""Guards for web frameworks, one file each; none imports a framework unless it is used."""
