"""Searches over recipes. Empty until they come: nothing here yet, and nothing pretends to be."""
