"""A stand-in for npu_bridge on one process: adapter branch r1.5.1's signatures and what they do.

Of its own making, from facts about the adapter; tests/figures/ascend_api.txt holds the signatures.
Put tests/support/stand_in on the path to use it.
"""
