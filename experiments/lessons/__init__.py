"""What the lessons compute: one file for each, every run a matter of seconds on the data that ship with the project."""
