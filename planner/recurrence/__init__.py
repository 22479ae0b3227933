"""Recurrences: cron, business days and iCalendar, each as starts on the wall clock."""
