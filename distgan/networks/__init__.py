"""Networks, one file per shape. They know neither losses nor optimizers."""
