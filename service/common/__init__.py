"""What every room needs: errors, the domain, settings, metrics, logs."""
