"""What usage shows of the past: were boosts enough and used, and what should calendars be."""
