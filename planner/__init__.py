"""Calendar files in, Temporal Schedules out: everything that happens before a firing."""
