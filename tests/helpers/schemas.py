"""Files against the schemas that check-jsonschema ships."""

import subprocess
import sys


def by_schema(name, *files):
    """Check files by a schema; return the finished process."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}"]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
