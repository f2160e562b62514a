"""From a query vector to moments."""
