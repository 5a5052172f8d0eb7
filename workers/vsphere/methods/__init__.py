"""The agent's methods, a file for each subject; the agent is made of them all."""
