"""How what a version is asked, and what it answers, differs from what it was trained on."""
