"""Chunked image stores: what microscopes write in, batches out. Knows numpy, zarr and dask; neither torch nor Ray."""
