"""What several test files of the authority need: real logs, real signers, clocks. Tests only."""
