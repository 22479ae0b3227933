"""Windows to occurrences: when they run (`expand`), and why or why not (`explain`)."""
