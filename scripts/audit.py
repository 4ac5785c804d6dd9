#!/usr/bin/env python3
"""What is known of weaknesses in the packages that this program stands on: `make audit`.

Asks the service of PyPI by pip-audit. Exit status 1 where a package that is installed here has a known weakness and a
release that mends it; where the service cannot be reached, that is said, and nothing was looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys

PATIENCE = 120
"""[s]"""


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--local", "--skip-editable", "--format=json", "--timeout=10"]
    command.append("--progress-spinner=off")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        print("audit: the service of weaknesses did not answer; nothing was looked at.")
        return 0
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"audit: the service of weaknesses cannot be reached; nothing was looked at ({said[:160]}).")
        return 0
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        print("audit: the service knows none of the packages, as a mirror may; nothing was looked at.")
        return 0
    weak = [(package, weakness) for package in packages for weakness in package.get("vulns", ())]
    for package, weakness in weak:
        mended = ", ".join(weakness.get("fix_versions", ())) or "no release yet"
        print(f"audit: {package['name']} {package['version']}: {weakness['id']}, mended in {mended}")
    not_asked = f", {len(unknown)} not known there" if unknown else ""
    print(f"audit: {len(packages) - len(unknown)} packages looked up{not_asked}, {len(weak)} known weaknesses.")
    return int(any(weakness.get("fix_versions") for _, weakness in weak))


if __name__ == "__main__":
    raise SystemExit(main())
