"""The command line: one file for each verb. The console script is :func:`.main.main`."""
