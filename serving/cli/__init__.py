"""The command line: `testbed` and its verbs."""
