"""What the service is made of: its parts listed, and looked up in published advisories."""
