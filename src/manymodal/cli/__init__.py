"""The command line: a file a command, each importing what it needs when it runs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of `manymodal`."""
    # Before torch is imported: threads that wait must sleep, not spin, or shared cores slow down seventyfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("LANCEDB_LOG", "error")  # a build remarks on every empty partition
    from ..errors import ManymodalError
    from .app import app

    try:
        app()
    except ManymodalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
