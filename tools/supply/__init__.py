"""Lists the service's dependencies and checks them against published advisories."""
