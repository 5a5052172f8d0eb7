"""What is in a vCenter: which objects there are, finding them, and reading them."""
