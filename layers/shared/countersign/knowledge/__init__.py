"""What an organization knows: datasets, documents and their chunks.

It must not know who asks, nor what is answered.
"""
