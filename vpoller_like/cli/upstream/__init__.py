"""vPoller's own programs, by their names and flags, on this code; and its INI file."""
