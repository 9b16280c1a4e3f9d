"""Other session stores, each behind the same few lines: what `scripts/bench --peers` runs, one process for each.

Every adapter runs in the peers' environment, and so may import nothing of this project but `peers.protocol`; ours runs
in the project's own.
"""
