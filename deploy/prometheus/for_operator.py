"""Write the alert rules as a PrometheusRule for the Prometheus operator (`make rules`)."""

from __future__ import annotations

from pathlib import Path

DEPLOY = Path(__file__).parent.parent
RULES = DEPLOY / "prometheus" / "rules" / "capacity-boost.yaml"
TARGET = DEPLOY / "kubernetes" / "monitoring" / "rules.yaml"
HEAD = """# Written by `make rules` from deploy/prometheus/rules/capacity-boost.yaml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: capacity-boost
  labels:
    app.kubernetes.io/name: calendar-boost-planner
spec:
"""


def manifest() -> str:
    """Return the manifest: the rules without their comment, indented."""
    lines = RULES.read_text(encoding="utf-8").splitlines()
    return HEAD + "".join(f"  {line}\n" for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    TARGET.write_text(manifest(), encoding="utf-8")
