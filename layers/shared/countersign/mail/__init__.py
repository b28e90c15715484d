"""Electronic mail as bytes: reading it, judging it, writing it.

It knows no database, no tenant, no provider and no AWS.
"""
