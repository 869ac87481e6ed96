"""What `testbed doctor` looks at before anything is started on this machine."""
