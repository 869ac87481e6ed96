"""Plans that are fair among clients (F19): what is measured, and programs that maximise it."""
