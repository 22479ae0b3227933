"""The commands: they read arguments, call the rest, print, and choose the exit code."""
