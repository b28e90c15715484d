"""Organizations, the people who work for them, and the keys that code comes with.

It must not know what anyone does once they are let in.
"""
