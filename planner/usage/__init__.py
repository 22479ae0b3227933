"""What namespaces used, minute by minute, and where that can be read.

- `model`: the values, numpy arrays with an element for each minute. Pure.
- the other modules are adapters of one source each, and the edge.
"""
