"""Arrays -> matplotlib figures. Nothing here logs; every axis has a unit."""
