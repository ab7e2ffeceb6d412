"""Which key signs, which keys are published, and when each of them dies. Private keys are never here."""
