"""Flow in other programs' files: one format a file."""
