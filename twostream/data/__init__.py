"""From a cache to clips: which videos there are, how they are divided, what a network sees of them."""
