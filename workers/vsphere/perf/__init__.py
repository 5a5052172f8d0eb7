"""Figures of the vCenter's PerformanceManager: counters, intervals and samples."""
