"""Ray and MLflow: where a run is placed, watched, and its models kept. Knows distgan and storage."""
