"""The search for the best classifier and parameters: proposed, run, pruned and ranked."""
