"""The way to one vCenter: its connections, and a session that is kept."""
