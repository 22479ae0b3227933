"""Values to text, Markdown, JSON, HTML, SVG and iCalendar, as pure functions."""
