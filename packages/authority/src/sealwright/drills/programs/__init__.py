"""Programs that a sandbox starts instead of the ordinary signer and authority."""
