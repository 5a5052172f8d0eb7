"""The events of a vCenter, and following them."""
