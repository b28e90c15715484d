"""Conversations, their messages, and what waits for us.

It must not know how a reply is drafted, nor any provider's format.
"""
