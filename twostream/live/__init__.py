"""A camera, a stream or a file at its own pace, labelled as it comes."""
