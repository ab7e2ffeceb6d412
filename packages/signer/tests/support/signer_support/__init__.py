"""What tests of several packages share about signers: tokens of their own."""
