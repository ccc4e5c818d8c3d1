"""The files by which the gate runs in CI: the action, and the examples for GitLab and GitHub."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
GITLAB = yaml.safe_load((ROOT / "docs/ci/gitlab.yml").read_text("utf-8"))["faro-gate"]
GITHUB = yaml.safe_load((ROOT / "docs/ci/github.yml").read_text("utf-8"))
