"""From a video file to upright frames with time stamps."""
