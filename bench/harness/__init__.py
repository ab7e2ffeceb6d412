"""What every part of the benchmark uses: processes, load, rounds, figures. It may never decide what is
compared.
"""
