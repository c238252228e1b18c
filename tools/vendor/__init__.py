"""Copies the console's libraries from npm packages, and checks the copies: `make vendor`.

The packages are locked with hashes of their content. The copies are committed with their licences
and checksums, so that neither the service nor its image needs npm or a network.
"""
