"""Sojourn's workers: roles that claim expired sessions, dispatch events, run jobs and schedule them.

`sojourn_worker.supervise` starts them; each role also runs alone, and any number of each may run.
"""
