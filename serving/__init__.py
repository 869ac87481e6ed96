"""The running system, from a query's first byte to the report of a run, and its simulator."""

import os

if os.environ.get("TESTBED_COMPILED"):  # before any of these modules is imported
    from serving.compiled_modules import use_compiled

    use_compiled()
