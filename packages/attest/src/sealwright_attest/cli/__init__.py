"""The command line: it reads files, calls the library and prints. Nothing is decided here."""
