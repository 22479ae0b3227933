"""What a sync would change, and why: desired and live schedules compared as values."""
