"""What a network says of each video, and how right it is."""
