"""Runs: folders of files that belong together, each with a manifest that says how."""
