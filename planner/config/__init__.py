"""Calendar files read: YAML text in, a `Project` or every problem of the run out. Pure.

- `nodes`, `yamltext`: YAML as it was written, with lines; the limits on hostile files.
- `values`, `readers`: what single values mean.
- `fields`, `days_off`: the kinds of value there are, and how an editor is told of them.
- `strict`, `window_document`, `documents`: the keys (pydantic).
- `sentences`: their faults in our words.
- `shape`: what the keys of a window must say together.
- `rails`, `shared`, `windows`, `calendars`, `project`: from documents to `planner.model`.
- `shelf`: files and what they may refer to, as `planner.source` brings them.
"""

from planner.config.project import build
from planner.config.shelf import Shelf, TextFile

__all__ = ["Shelf", "TextFile", "build"]
