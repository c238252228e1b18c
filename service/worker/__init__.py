"""Everything that runs in another process. Nothing in the serving process imports it."""
