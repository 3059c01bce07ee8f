"""What is seen of a run while it goes on: by people, by programs, by those who watch for trouble."""
