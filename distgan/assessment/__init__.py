"""What scores and evaluations share."""
