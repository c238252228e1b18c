"""Worker processes as the serving process knows them."""
