"""What the templates of the record use."""
