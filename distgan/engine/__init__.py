"""How a run is trained: turns, shards, state and checkpoints, the same bits on any number of workers."""
