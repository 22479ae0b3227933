"""What the calendars will do: capacity, cost and reasons, as pure functions."""
