"""The program `sealwright`: one file per command, imported only when it is asked for.

Says what was done and why not; decides nothing itself. The only room that writes to the terminal.
"""
