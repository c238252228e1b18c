"""Tools that measure and inspect the product: benchmarks and supply-chain checks."""
