"""The hosts that ``vpoller host`` keeps, beside those in the settings."""
