"""Calendar files: YAML text to a `Project`, or every problem at once.

- `yaml_nodes`: YAML with lines, and limits on hostile files; `scalars`: single values.
- `fields`, `documents`: the types of keys, and the keys (pydantic), as JSON Schema for editors.
- `validate`: what is wrong with a document, in sentences.
- `settings`: ``planner.yaml``; `build`: calendars and windows, to `planner.model`. Pure.
- `load`: the directory, its files and their limits. All of the I/O.
"""
