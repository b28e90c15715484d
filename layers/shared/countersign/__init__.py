"""Countersign: AI drafts, a person countersigns, every touch is on the record.

One package per room. Rooms depend one way: platform, models, retrieval, identity, people,
channels, conversations, knowledge, drafting. Handlers live in `functions/`, never here.
"""
