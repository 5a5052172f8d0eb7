"""What a monitoring system scrapes: all of a vCenter's objects as families of samples."""
