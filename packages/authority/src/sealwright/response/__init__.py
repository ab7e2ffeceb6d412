"""Response: what is done about an alarm, by rule or by an incident commander, and who is told.

Everything that takes power away is previewed, limited and audited. May never widen anything: no response
issues, activates, or grants.
"""
