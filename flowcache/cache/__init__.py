"""What lies on disk: recipe, codec, entries and the folder that holds them."""
