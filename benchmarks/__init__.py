"""Speed compared with plain versions and other tools: ``python -m benchmarks``. Never imported by the product."""
