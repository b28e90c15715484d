"""The people that an organization talks with, and those it must not write to.

It must not know how a message reaches them, nor what was said.
"""
