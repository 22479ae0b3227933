"""Warnings: what works as written but deserves a second look. Pure; `today` is given.

- `codes`: every code, with its meaning.
- `checks`: the checks; `guard_rails`: limits that occurrences break, which are problems.
- `cron_dialect`: crons that other engines read differently.
- `inspect`: expands the coming months once and runs all of them.
"""
