"""Long, untrimmed video: scores over time, segments, and a video that shows them."""
