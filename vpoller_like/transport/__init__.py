"""The only place that touches ZeroMQ: contexts, sockets, polling and waking."""
