"""Hybrid search over any table of texts and a table of their vectors.

It must not know what the texts are, nor who searches them.
"""
