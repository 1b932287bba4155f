"""Times of this machine: `make bench ARGS="network|train|input|evaluate ..."`; never part of the tests."""
