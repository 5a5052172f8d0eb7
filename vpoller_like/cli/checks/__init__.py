"""What ``vpoller doctor`` looks at: one file for each area, one function for each question."""
