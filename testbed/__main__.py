"""The command `testbed`, also as `python -m testbed`."""

from __future__ import annotations

import json
import sys

from testbed.shadowing import refuse_shadowed_packages

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say in one line (exit code 2) what shadows the testbed."""
    try:
        refuse_shadowed_packages()
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    try:
        from serving.cli.main import main as run
    except KeyboardInterrupt:  # from here on `serving.cli.exits` sees to it
        print("testbed: interrupted", file=sys.stderr)
        sys.exit(130)
    except ImportError as error:
        if error.name != "TESTBED_COMPILED":
            raise
        if "--json" in sys.argv:
            print(json.dumps({"error": str(error), "exit_code": 2}))
        print(f"testbed: {error}", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
