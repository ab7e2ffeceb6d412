"""The monitor: reads every log of a Sealwright from outside and says what does not fit."""
