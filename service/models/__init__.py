"""What answers: classifiers, and what a stored one may contain."""
