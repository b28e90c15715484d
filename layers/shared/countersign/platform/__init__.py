"""What every room stands on: database, settings, errors, HTTP, queues, outbox, audit, secrets.

It must not know any business word: no message, draft, channel or customer.
"""
