"""Calendar files read: YAML text in, a `Project` or every problem of the run out. Pure.

- `nodes`: YAML as it was written, with lines; the limits on hostile files.
- `values`, `fields`: what single values mean, and how an editor is told of them.
- `documents`: the keys (pydantic); `sentences`: their faults in our words.
- `shape`: what the keys of a window must say together.
- `windows`, `rails`, `project`: from documents to `planner.model`.
- `shelf`: the iCalendar files that calendars name, brought by `planner.source`.
"""

from planner.config.project import TextFile, build
from planner.config.shelf import Shelf

__all__ = ["Shelf", "TextFile", "build"]
