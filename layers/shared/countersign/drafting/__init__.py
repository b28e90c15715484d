"""From an inbound message to a reply that a person has countersigned.

Requests, drafts, claims, approvals and what is learnt from them. It must not know any provider's
format or how a delivery is made.
"""
