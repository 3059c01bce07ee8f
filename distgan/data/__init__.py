"""From stores to batches: which samples, where they lie, how they are changed, and what is in a store."""
