"""The ways in and out: what providers send and take, and the ledger of what was sent."""
