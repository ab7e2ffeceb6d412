"""Issues tokens: one file per way to authenticate a client, one per grant. Free claims do not exist here."""
