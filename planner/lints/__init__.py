"""Warnings: what works as written but deserves a second look. Pure; `today` is given.

- `checks`: the checks; `guard_rails`: limits that occurrences break, which are problems.
- `inspect`: expands the coming months once and runs all of them; every code with its meaning,
  and crons that other engines read differently.
"""
