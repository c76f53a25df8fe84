"""What models cost and see, measured and printed; nothing else needs it."""
