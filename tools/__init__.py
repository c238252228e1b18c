"""What measures and inspects the product: benchmarks and the supply chain."""
