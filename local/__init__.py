"""The stack on a laptop: embedded Postgres, emulated AWS, local models and provider simulators.

Nothing here is imported by the product. `python -m local --help` lists the commands that the
Makefile runs.
"""
