"""Guards for web frameworks, one file each. May never import a framework unless its guard is used."""
