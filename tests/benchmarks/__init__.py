"""What this machine takes: `make bench ARGS="network|train|input|evaluate ..."`; no tests."""
