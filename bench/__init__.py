"""One script for each figure, side by side with its peer; `make bench-NAME` runs it."""
