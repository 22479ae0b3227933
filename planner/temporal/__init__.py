"""The live side: Schedules and keepers on a Temporal server, through the SDK."""
